//! Every form of a rule, whether given to `attach` or to `watch add`, watches exactly the clients that it
//! matches.
#![cfg(feature = "kernel")]

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Context, Result};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    peers::client::Request,
    process::Signal,
    tool::toa_tc::{Output, ToaTc},
};

/// All clients, each with one connection.
const CLIENTS: [&str; 6] = [
    "203.0.113.9:54321",
    "203.0.113.9:54322",
    "203.0.113.10:54321",
    "[2001:db8::7]:443",
    "[2001:db8::7]:444",
    "[2001:db8::8]:443",
];

/// Rules, each with the clients that it matches.
const RULES: [(&str, &[&str]); 12] = [
    ("203.0.113.9", &["203.0.113.9:54321", "203.0.113.9:54322"]),
    ("203.0.113.9:54322", &["203.0.113.9:54322"]),
    ("2001:db8::7", &["[2001:db8::7]:443", "[2001:db8::7]:444"]),
    ("[2001:db8::7]:443", &["[2001:db8::7]:443"]),
    (":54321", &["203.0.113.9:54321", "203.0.113.10:54321"]),
    (":443", &["[2001:db8::7]:443", "[2001:db8::8]:443"]),
    ("203.0.113.8/31", &["203.0.113.9:54321", "203.0.113.9:54322"]),
    ("0.0.0.0/0", &["203.0.113.9:54321", "203.0.113.9:54322", "203.0.113.10:54321"]),
    ("2001:db8::/125", &["[2001:db8::7]:443", "[2001:db8::7]:444"]),
    ("[2001:db8::/64]:443", &["[2001:db8::7]:443", "[2001:db8::8]:443"]),
    ("203.0.113.0/24:54321", &["203.0.113.9:54321", "203.0.113.10:54321"]),
    ("any", &CLIENTS),
];

/// Attaches with `arguments`, adds a rule if there is one, lets every client send a request, and checks which
/// clients are printed.
fn check(arguments: &[&str], added: Option<&str>, expected: &[&str]) -> Result<()> {
    let output = mounts::with_bpf_file_system(|| -> Result<Output> {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, arguments)?;
        if let Some(rule) = added {
            tool.watch("add", rule)?;
        }
        for client in CLIENTS {
            lab.connect(Some(client.parse()?))?.ask(Request::get("/"))?;
        }
        tool.stop(Signal::Interrupt)?.succeeded()
    })?;
    let requests = output.requests()?;
    let printed: BTreeSet<SocketAddr> = requests.iter().map(|request| request.client).collect();
    let expected = expected.iter().map(|client| Ok(client.parse()?)).collect::<Result<BTreeSet<_>>>()?;
    assert_eq!(printed, expected, "{arguments:?}, {added:?}");
    assert_eq!(requests.len(), expected.len(), "{arguments:?}, {added:?}: printed more than once");
    Ok(())
}

#[test]
fn every_form_of_a_rule_watches_whom_it_names() -> Result<()> {
    for (rule, clients) in RULES {
        check(&["--ip", rule], None, clients).context(rule)?;
        check(&[], Some(rule), clients).context(rule)?;
    }
    Ok(())
}

#[test]
fn options_of_one_sort_add_up_and_of_two_sorts_both_match() -> Result<()> {
    check(&["--any"], None, &CLIENTS)?;
    check(&["--port", "443", "--port", "444"], None, CLIENTS.get(3..).context("too few")?)?;
    let two = ["203.0.113.9:54321", "203.0.113.9:54322", "[2001:db8::7]:443"];
    check(&["--ip", "203.0.113.9", "--ip", "[2001:db8::7]:443"], None, &two)?;
    let both = ["--ip", "203.0.113.9", "--ip", "2001:db8::7", "--port", "54322", "--port", "444"];
    check(&both, None, &["203.0.113.9:54322", "[2001:db8::7]:444"])?;
    check(
        &["--ip", "203.0.113.0/24", "--port", "54321"],
        None,
        &["203.0.113.9:54321", "203.0.113.10:54321"],
    )?;
    check(&["--ip", "any", "--port", "443"], None, &["[2001:db8::7]:443", "[2001:db8::8]:443"])
}
