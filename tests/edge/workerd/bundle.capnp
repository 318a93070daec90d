# The part of workerd's schema of module bundles that python_bundle.py writes. Names and numbers are the format's
# (workerd, src/workerd/jsg/modules.capnp).
@0xc8cbb234694939d5;

struct Bundle {
  modules @0 :List(Module);
}

struct Module {
  name @0 :Text;
  union {
    src @1 :Data;
    wasm @4 :Data;
    data @5 :Data;
    json @6 :Text;
  }
  type @2 :Type;
  tsDeclaration @3 :Text;
  compileCache @7 :Data;

  enum Type {
    bundle @0;
    builtin @1;
    internal @2;
  }
}
