// Two Workers in the resolver's place: one whose every call fails, and one that never answers.
import { WorkerEntrypoint } from "cloudflare:workers";

export class Gone extends WorkerEntrypoint {
  resolveEnsemble() {
    throw new Error("the Worker is gone");
  }

  version() {
    throw new Error("the Worker is gone");
  }
}

export class Silent extends WorkerEntrypoint {
  resolveEnsemble() {
    return scheduler.wait(3_600_000);
  }

  version() {
    return scheduler.wait(3_600_000);
  }
}

export default {};
