//! What the tests of toa-tc are made of.
//!
//! Responsible for real connections with real TOA options between network namespaces, for packets as bytes,
//! and for running the tool and its neighbours. Not responsible for any expectation: those are in the tests.

pub mod abba;
pub mod attached;
pub mod balancer;
pub mod capture;
pub mod cgroup;
pub mod churn;
pub mod client;
pub mod commands;
pub mod crowd;
pub mod expected;
pub mod fixtures;
pub mod host;
pub mod idle;
pub mod injector;
pub mod lab;
pub mod ledger;
pub mod look;
pub mod marker;
pub mod mounts;
pub mod netlink;
pub mod netns;
pub mod nginx;
pub mod oracle;
pub mod packet_builder;
pub mod pcap_file;
pub mod printed;
pub mod probe;
pub mod process;
pub mod proxy;
pub mod ready;
pub mod recorder;
pub mod responder;
pub mod seccomp;
pub mod segments;
pub mod service;
pub mod side_by_side;
pub mod sides;
pub mod tables;
pub mod toa_module;
pub mod toa_tc;
pub mod tun;
pub mod usage;
pub mod veth;
pub mod witness;
pub mod wrk;
