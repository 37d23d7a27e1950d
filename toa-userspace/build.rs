//! Embeds the shipped eBPF objects in the binary: their paths are `env!("TOA_INGRESS_OBJECT")` and so on. How they are
//! compiled is in `xtask/src/toolchain.rs`.

use xtask::embed::{Package, embed};

fn main() {
    embed(&[Package {
        name: "toa-ebpf",
        directory: "toa-ebpf",
        objects: &[
            ("toa-ingress", "TOA_INGRESS_OBJECT"),
            ("toa-sockets", "TOA_SOCKETS_OBJECT"),
            ("toa-remember", "TOA_REMEMBER_OBJECT"),
            ("toa-remembered", "TOA_REMEMBERED_OBJECT"),
        ],
    }]);
}
