//! Embeds every eBPF object that the tests use: the shipped ones, the probe, the lab's two and the
//! benchmark's. `xtask/embed/src/toolchain.rs` has the compiler's flags.

use toa_embed::embed::{Object, Package, SHIPPED, embed};

fn main() {
    embed(&[
        SHIPPED,
        Package {
            name: "toa-lab-ebpf",
            directory: "tests/lab-ebpf",
            objects: &[
                Object { name: "toa-lab-ebpf", variable: "TOA_LAB_OBJECT", programs: "sockops" },
                Object {
                    name: "toa-module-ebpf",
                    variable: "TOA_MODULE_OBJECT",
                    programs: "cgroup/getsockopt",
                },
                Object { name: "toa-probe", variable: "TOA_PROBE_OBJECT", programs: "classifier" },
                Object { name: "toa-bench-ebpf", variable: "TOA_BENCH_OBJECT", programs: "classifier" },
            ],
        },
    ]);
}
