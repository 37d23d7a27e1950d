//! Embeds every eBPF object that the tests use: the shipped ones, the probe, the lab's two and the
//! benchmark's. `xtask/src/toolchain.rs` has the compiler's flags.

use xtask::embed::{Package, embed};

fn main() {
    embed(&[
        Package {
            name: "toa-ebpf",
            directory: "toa-ebpf",
            objects: &[
                ("toa-ingress", "TOA_INGRESS_OBJECT"),
                ("toa-sockets", "TOA_SOCKETS_OBJECT"),
                ("toa-remember", "TOA_REMEMBER_OBJECT"),
                ("toa-remembered", "TOA_REMEMBERED_OBJECT"),
            ],
        },
        Package {
            name: "toa-lab-ebpf",
            directory: "tests/lab-ebpf",
            objects: &[
                ("toa-lab-ebpf", "TOA_LAB_OBJECT"),
                ("toa-module-ebpf", "TOA_MODULE_OBJECT"),
                ("toa-probe", "TOA_PROBE_OBJECT"),
                ("toa-bench-ebpf", "TOA_BENCH_OBJECT"),
            ],
        },
    ]);
}
