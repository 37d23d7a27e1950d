//! A connection that was opened before attach, as the kernel's socket table and the tool see it.

use std::{io::Write as _, net::TcpListener, os::fd::AsRawFd as _};

use anyhow::{Context as _, Result, ensure};
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address, toa_module::ToaModule},
    peers::client::Request,
    process::Signal,
    tool::{commands::objects, toa_tc::ToaTc},
    wait,
};

/// Opens a connection whose client the server's socket knows, attaches, and waits for the next request.
pub(crate) fn follow() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let mut module = ToaModule::load(&lab.server.namespace)?;
    let listener = lab.server.namespace.run(|| Ok(TcpListener::bind(nginx_address())?))?;
    let client = ([203, 0, 113, 9], 54321).into();
    let mut connection = lab.connect_unmarked(&mut module, client)?;
    let _accepted = listener.accept()?;

    let tool = ToaTc::attach(&lab.server, &["--existing", "--ip", "203.0.113.9"])?;
    let line = "open connections: following 1 of 1 (1 with a known client";
    wait::until(line, || Ok(tool.stderr()?.contains(line).then_some(())))
        .with_context(|| tool.stderr().unwrap_or_default())?;
    connection.stream().write_all(&Request::get("/existing").head())?;
    wait::until("the request", || Ok(tool.stdout()?.contains("/existing").then_some(())))?;
    let requests = tool.stop(Signal::Interrupt)?.succeeded()?.requests()?;
    ensure!(requests.len() == 1 && requests.iter().all(|it| it.client == client), "{requests:?}");
    Ok(())
}

/// Hands a server's socket over to kTLS and checks the reason given for its unknown client.
pub(crate) fn ktls() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let listener = lab.server.namespace.run(|| Ok(TcpListener::bind(nginx_address())?))?;
    let _connection = lab.bind()?.connect(nginx_address())?;
    let (accepted, _) = listener.accept()?;
    let name = b"tls";
    // SAFETY: the option value has as many bytes as the length says.
    let result = unsafe {
        libc::setsockopt(
            accepted.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_ULP,
            name.as_ptr().cast(),
            libc::socklen_t::try_from(name.len())?,
        )
    };
    ensure!(result == 0, "no kTLS: {}", std::io::Error::last_os_error());
    let rows = objects(&lab.server.namespace, &["flows", "--existing", "-o", "json"])?;
    let reasons: Vec<_> = rows.iter().map(|row| row.get("reason").and_then(|it| it.as_str())).collect();
    ensure!(reasons == [Some("kernel_tls")], "{rows:?}");
    Ok(())
}
