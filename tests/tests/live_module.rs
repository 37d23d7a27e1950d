//! Tests of the lab's stand-in for the TOA module. A process that calls `getpeername` gets the client. A program that
//! inspects the socket from outside sees the balancer. Nothing else changes.
#![cfg(feature = "kernel")]

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use anyhow::{Context, Result};
use rustix::{
    net::{AddressFamily, SocketType, bind, netlink, socket},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};
use toa_tests::{
    lab::{BALANCER, BALANCER_IPV6, Lab, SERVER, SERVER_IPV6, marker::Habit, toa_module::ToaModule},
    peers::client::{Bound, Connection},
    process::Process,
    wait,
};

/// `TOA_SO_GET_LOOKUP` of DPVS.
const NAT64_OPTION: libc::c_int = 4096;

/// Both ends of a connection, and the peer that `accept` reported to the server.
struct Joined {
    _balancer: Connection,
    server: TcpStream,
    accepted_from: SocketAddr,
}

fn lab() -> Result<Lab> {
    Lab::new(Habit::Syn)
}

fn listen(lab: &Lab, at: impl Into<IpAddr>) -> Result<TcpListener> {
    let at = at.into();
    lab.server.namespace.run(|| Ok(TcpListener::bind((at, 0))?))
}

fn join(bound: Bound, listener: &TcpListener, server: IpAddr) -> Result<Joined> {
    let balancer = bound.connect(SocketAddr::new(server, listener.local_addr()?.port()))?;
    let (server, accepted_from) = listener.accept()?;
    Ok(Joined { _balancer: balancer, server, accepted_from })
}

/// Opens a connection over IPv4. Returns the balancer's side and both ends.
fn joined(lab: &Lab) -> Result<(SocketAddr, Joined)> {
    let bound = lab.bind()?;
    Ok((bound.local(), join(bound, &listen(lab, SERVER)?, SERVER.into())?))
}

/// Calls `getsockopt` with a buffer of `room` bytes. Returns the length and the bytes that fit, or the error
/// number.
fn ask(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    room: usize,
) -> Result<(usize, Vec<u8>), Option<i32>> {
    let mut value = vec![0xaa; room];
    let mut length = room as libc::socklen_t;
    // SAFETY: both pointers refer to locals, the first to as many bytes as the second says.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut length)
    };
    value.truncate(length as usize);
    if result == 0 { Ok((length as usize, value)) } else { Err(io::Error::last_os_error().raw_os_error()) }
}

fn ask_nat64(socket: &TcpStream, room: usize) -> Result<(usize, Vec<u8>), Option<i32>> {
    ask(socket, libc::IPPROTO_IP, NAT64_OPTION, room)
}

#[test]
fn who_asks_is_told_the_client_and_who_looks_sees_the_balancer() -> Result<()> {
    let any = Ipv6Addr::UNSPECIFIED;
    // Where the server listens, the ends of the connection, the client, and the address reported for it.
    let forms: [(IpAddr, IpAddr, IpAddr, &str, &str); 4] = [
        (SERVER.into(), BALANCER.into(), SERVER.into(), "203.0.113.9:54321", "203.0.113.9:54321"),
        (SERVER_IPV6.into(), BALANCER_IPV6.into(), SERVER_IPV6.into(), "[2001:db8::7]:1", "[2001:db8::7]:1"),
        (any.into(), BALANCER_IPV6.into(), SERVER_IPV6.into(), "203.0.113.9:2", "[::ffff:203.0.113.9]:2"),
        (any.into(), BALANCER.into(), SERVER.into(), "203.0.113.9:65535", "[::ffff:203.0.113.9]:65535"),
    ];
    for (listens_at, balancer, server, client, said) in forms {
        let what = format!("{client} by {balancer} at {listens_at}");
        let said: SocketAddr = said.parse()?;
        let lab = lab()?;
        let mut module = ToaModule::load(&lab.server.namespace)?;
        let listener = listen(&lab, listens_at)?;
        let bind = || Bound::new(&lab.balancer.namespace, SocketAddr::new(balancer, 0));
        let (named, other) = (bind()?, bind()?);
        let (named_local, other_local) = (named.local(), other.local());
        module.name_client(named_local, client.parse()?)?;
        let named = join(named, &listener, server)?;
        let other = join(other, &listener, server)?;
        assert_eq!((named.accepted_from, named.server.peer_addr()?), (said, said), "{what}");
        assert_eq!(named.server.local_addr()?.ip().to_canonical(), server, "{what}");
        // In the listener's family, so it may be mapped.
        let unnamed = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        for address in [other.accepted_from, other.server.peer_addr()?] {
            assert_eq!((unnamed(address), address.is_ipv6()), (other_local, said.is_ipv6()), "{what}");
        }

        let seen = lab.server.namespace.output("ss", &["-tnH"])?;
        let peers: Vec<SocketAddr> = seen
            .lines()
            .filter_map(|line| line.split_whitespace().nth(4)?.parse().ok())
            .map(unnamed)
            .collect();
        assert!(peers.len() == 2 && peers.contains(&named_local) && peers.contains(&other_local), "{seen}");

        drop(module);
        wait::until("the balancer, once the module is gone", || {
            Ok((unnamed(named.server.peer_addr()?) == named_local).then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn a_duplicate_from_another_process_gives_the_same_answers() -> Result<()> {
    let lab = lab()?;
    let mut module = ToaModule::load(&lab.server.namespace)?;
    let client = "203.0.113.9:54321".parse()?;
    let (peer, joined) = joined(&lab)?;
    module.name_client(peer, client)?;
    module.name_nat64_client(peer, "[2001:db8::7]:40000".parse()?)?;
    let answer = ask_nat64(&joined.server, 20);
    assert!(answer.is_ok(), "{answer:?}");

    // From here on, the only descriptor of the socket is another process's standard input.
    let mut command = lab.server.namespace.command("sleep");
    let child = command.arg("1000").stdin(OwnedFd::from(joined.server)).spawn()?;
    drop(command);
    let child = Process::new("sleep", child);
    let id = Pid::from_raw(i32::try_from(child.id())?).context("process 0")?;
    let duplicate = pidfd_getfd(pidfd_open(id, PidfdFlags::empty())?, 0, PidfdGetfdFlags::empty())?;
    let duplicate = TcpStream::from(duplicate);
    assert_eq!(duplicate.peer_addr()?, client);
    assert_eq!(ask_nat64(&duplicate, 20), answer);
    Ok(())
}

#[test]
fn an_ipv6_client_of_an_ipv4_socket_is_told_by_the_option_alone() -> Result<()> {
    let no_such_option = Err(Some(libc::ENOPROTOOPT));
    let lab = lab()?;
    let client: SocketAddrV6 = "[2001:db8::7]:40000".parse()?;
    let (peer, named) = joined(&lab)?;
    let (_, other) = joined(&lab)?;
    assert_eq!(ask_nat64(&named.server, 20), no_such_option);
    let mut module = ToaModule::load(&lab.server.namespace)?;
    module.name_nat64_client(peer, client)?;

    let expected = [client.ip().octets().as_slice(), &client.port().to_be_bytes(), &[0, 0]].concat();
    // This must also work where the kernel shows the program only one page of the buffer.
    for room in [20, 24, 4096, 100_000] {
        assert_eq!(ask_nat64(&named.server, room), Ok((20, expected.clone())), "{room}");
        assert_eq!(ask_nat64(&other.server, room), no_such_option, "{room}");
    }
    assert_eq!(named.server.peer_addr()?, peer);
    assert_eq!(ask_nat64(&named.server, 19), no_such_option);
    for (level, option) in [(libc::IPPROTO_IP, NAT64_OPTION + 1), (libc::IPPROTO_TCP, NAT64_OPTION)] {
        assert_eq!(ask(&named.server, level, option, 20), no_such_option, "{level} {option}");
    }
    // An IPv6 socket can report the client as its peer, even if it has a mapped address.
    let listener = listen(&lab, Ipv6Addr::UNSPECIFIED)?;
    let bound = lab.bind()?;
    module.name_nat64_client(bound.local(), client)?;
    let mapped = join(bound, &listener, SERVER.into())?;
    assert_eq!(ask_nat64(&mapped.server, 20), no_such_option);
    assert!(module.name_nat64_client(SocketAddr::new(BALANCER_IPV6.into(), 1), client).is_err());
    assert!(module.name_client(peer, client.into()).is_err());
    Ok(())
}

#[test]
fn ordinary_options_are_as_without_the_module() -> Result<()> {
    let lab = lab()?;
    let (peer, joined) = joined(&lab)?;
    let (unix, _unix_peer) = UnixStream::pair()?;
    // Routing netlink, whose list of groups is longer than some of the buffers below.
    let netlink = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    bind(&netlink, &netlink::SocketAddrNetlink::new(0, 1))?;
    let answers = || {
        let mut answers = Vec::new();
        for room in [0, 1, 4, 8, 16, 4096, 100_000] {
            for option in [libc::SO_RCVBUF, libc::SO_COOKIE, libc::SO_PEERNAME, libc::SO_ERROR] {
                answers.push(ask(&joined.server, libc::SOL_SOCKET, option, room));
            }
            for option in [libc::TCP_NODELAY, libc::TCP_CONGESTION, libc::TCP_MAXSEG] {
                answers.push(ask(&joined.server, libc::IPPROTO_TCP, option, room));
            }
            answers.push(ask(&unix, libc::SOL_SOCKET, libc::SO_PEERCRED, room));
            answers.push(ask(&netlink, libc::SOL_NETLINK, libc::NETLINK_LIST_MEMBERSHIPS, room));
            // The fields after the first bytes change with time.
            let info = ask(&joined.server, libc::IPPROTO_TCP, libc::TCP_INFO, room);
            answers.push(info.map(|(length, value)| (length, value.into_iter().take(8).collect())));
        }
        answers
    };
    let without = answers();
    assert!(without.iter().flatten().any(|(length, value)| *length > value.len()), "{without:?}");
    let mut module = ToaModule::load(&lab.server.namespace)?;
    assert_eq!(answers(), without);
    module.name_nat64_client(peer, "[2001:db8::7]:40000".parse()?)?;
    assert_eq!(answers(), without);
    Ok(())
}

#[test]
fn two_modules_do_not_meet() -> Result<()> {
    let labs = [lab()?, lab()?, lab()?];
    // The same address and port in each lab.
    let peer = SocketAddr::new(BALANCER.into(), 40_000);
    let mut modules =
        [ToaModule::load(&labs[0].server.namespace)?, ToaModule::load(&labs[1].server.namespace)?];
    for (module, number) in modules.iter_mut().zip(1..) {
        module.name_client(peer, ([203, 0, 113, number], number.into()).into())?;
        module.name_nat64_client(peer, SocketAddrV6::new(Ipv6Addr::LOCALHOST, number.into(), 0, 0))?;
    }
    for (lab, number) in labs.iter().zip(1..) {
        let bound = Bound::new(&lab.balancer.namespace, peer)?;
        let joined = join(bound, &listen(lab, SERVER)?, SERVER.into())?;
        let port = ask_nat64(&joined.server, 20).map(|(_, value)| value[17]);
        if number == 3 {
            assert_eq!((joined.server.peer_addr()?, port), (peer, Err(Some(libc::ENOPROTOOPT))));
        } else {
            let client = SocketAddr::from(([203, 0, 113, number], number.into()));
            assert_eq!((joined.server.peer_addr()?, port), (client, Ok(number)));
        }
    }
    Ok(())
}
