//! The sessions that are recorded.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use super::{Recording, terminal::Terminal};
use crate::{
    lab::{balancer::Balancer, marker::Habit, mounts},
    peers::client::Request,
};

const PAYMENTS: IpAddr = IpAddr::V4(Ipv4Addr::new(120, 120, 111, 111));
const SEARCH: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

/// Connections of the team that still calls.
const CONNECTIONS: usize = 3;

/// Records every session. Needs root.
pub fn record() -> Result<[Recording; 2]> {
    mounts::with_bpf_file_system(|| {
        let lab = Balancer::new(Habit::SynAndEarly, &[PAYMENTS, SEARCH])?;
        let _nginx = lab.nginx()?;
        Ok([three_commands(&lab)?, requests(&lab)?])
    })
}

/// From an unknown host to the team that still calls it.
fn three_commands(lab: &Balancer) -> Result<Recording> {
    let ask = |client, team| {
        let mut connection = lab.connect(client)?;
        ["/orders", "/orders/7"]
            .into_iter()
            .try_for_each(|path| connection.ask(Request::get(path).field("x-team", team)))
    };
    let talk = || {
        (0..CONNECTIONS).try_for_each(|_| ask(PAYMENTS, "payments"))?;
        ask(SEARCH, "search")
    };
    let (device, client) = (lab.server.name.as_str(), PAYMENTS.to_string());
    let mut terminal = Terminal::new(&lab.server)?;
    terminal.run(&["doctor"])?;
    terminal.run_while(&["clients", device], "attached", talk)?;
    let team = "header:x-team";
    let options = ["-o", "oneline", "--header", "x-team", "--once-by", team, "--summary-by", team];
    let arguments = [&["attach", device, "--ip", &client], &options[..]].concat();
    terminal.run_while(&arguments, "payments\n", talk)?;
    Ok(Recording { name: "three-commands", shown: terminal.into_shown() })
}

/// What one client requests.
fn requests(lab: &Balancer) -> Result<Recording> {
    let talk = || {
        let mut connection = lab.connect(PAYMENTS)?;
        for target in ["/orders?id=7", "/orders?id=8&access_token=hunter2"] {
            let request = Request::get(target).field("user-agent", "curl/8.14.1").field("x-team", "payments");
            connection.ask(request.field("authorization", "Bearer hunter2"))?;
        }
        Ok(())
    };
    let client = PAYMENTS.to_string();
    let mut terminal = Terminal::new(&lab.server)?;
    terminal.run_while(
        &["attach", &lab.server.name, "--ip", &client],
        "(?s)id=8.*authorization.*\n",
        talk,
    )?;
    Ok(Recording { name: "attach", shown: terminal.into_shown() })
}
