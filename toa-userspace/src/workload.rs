//! Which service, container or pod a process or socket belongs to, by the name of its cgroup (`cgroups(7)`).

use std::{net::SocketAddr, sync::Arc};

use serde::Serialize;

/// Before the identifiers of containers in the names of scopes: by Docker, containerd, CRI-O and Podman.
const SCOPES: [&str; 5] = ["docker-", "cri-containerd-", "containerd-", "crio-", "libpod-"];

/// Before the names of LXC's containers.
const LXC: &str = "lxc.payload.";

/// Digits of the identifier of a container.
const CONTAINER_DIGITS: usize = 64;

/// Digits of the UID of a pod.
const POD_DIGITS: usize = 32;

/// A function that finds the workload of the socket that accepts connections to an address.
pub type WorkloadOf = Box<dyn FnMut(SocketAddr) -> Option<Arc<Workload>> + Send>;

/// What a process or socket belongs to.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Workload {
    /// The path of its cgroup.
    pub cgroup: String,
    /// The systemd unit: a service, or a scope that is no container.
    pub unit: Option<String>,
    /// The container's identifier, or with LXC its name.
    pub container: Option<String>,
    /// The UID of the Kubernetes pod.
    pub pod: Option<String>,
}

impl Workload {
    /// Reads the path of a cgroup. The root names nothing.
    pub fn of_cgroup(path: &str) -> Option<Self> {
        if path == "/" {
            return None;
        }
        let mut workload = Self { cgroup: path.to_owned(), ..Self::default() };
        for name in path.split('/') {
            if let Some(container) = container(name) {
                workload.container = Some(container.to_owned());
            } else if name.rsplit_once('.').is_some_and(|(_, kind)| ["service", "scope"].contains(&kind)) {
                workload.unit = Some(name.to_owned());
            }
            workload.pod = pod(name).or(workload.pod);
        }
        if workload.container.is_some() {
            // The service of its runtime.
            workload.unit = None;
        }
        Some(workload)
    }

    /// Returns the shortest name by which an operator knows it.
    pub fn name(&self) -> String {
        match self {
            Self { pod: Some(pod), .. } => format!("pod {pod}"),
            Self { container: Some(container), .. } => {
                // As `docker ps` and `crictl ps` show it.
                format!("container {}", container.get(..12).unwrap_or(container))
            }
            Self { unit: Some(unit), .. } => unit.clone(),
            Self { cgroup, .. } => cgroup.clone(),
        }
    }
}

/// Returns the container in the name of a cgroup.
fn container(name: &str) -> Option<&str> {
    if let Some(name) = name.strip_prefix(LXC) {
        return Some(name);
    }
    let id = name.strip_suffix(".scope").unwrap_or(name);
    let id = SCOPES.iter().find_map(|scope| id.strip_prefix(scope)).unwrap_or(id);
    (id.len() == CONTAINER_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// Returns the pod in the name of a cgroup: `pod…` or `kubepods-besteffort-pod….slice`, where systemd has no hyphens.
fn pod(name: &str) -> Option<String> {
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let uid =
        if name.starts_with("kubepods-") { name.rsplit_once("-pod")?.1 } else { name.strip_prefix("pod")? };
    let uid = uid.replace('_', "-");
    let is_uid = uid.bytes().filter(u8::is_ascii_hexdigit).count() == POD_DIGITS
        && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uid.then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const POD: &str = "8d1f2c3b-0a4e-4c5d-9e6f-112233445566";

    fn name(path: &str) -> Option<String> {
        Workload::of_cgroup(path).map(|workload| workload.name())
    }

    #[test]
    fn runtimes_have_their_own_names() {
        let container = Some("container 0123456789ab".to_owned());
        for path in [
            format!("/docker/{ID}"),
            format!("/system.slice/docker-{ID}.scope"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/system.slice/containerd.service/{ID}"),
        ] {
            assert_eq!(name(&path), container, "{path}");
        }
        for path in [
            format!("/kubepods/burstable/pod{POD}/{ID}"),
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/cri-containerd-{ID}.scope",
                POD.replace('-', "_")
            ),
        ] {
            assert_eq!(name(&path), Some(format!("pod {POD}")), "{path}");
            assert_eq!(Workload::of_cgroup(&path).unwrap().container.as_deref(), Some(ID), "{path}");
        }
        assert_eq!(name("/lxc.payload.web/init.scope").as_deref(), Some("container web"));
        assert_eq!(name("/system.slice/nginx.service").as_deref(), Some("nginx.service"));
        assert_eq!(name("/user.slice/user-0.slice/session-1.scope").as_deref(), Some("session-1.scope"));
        assert_eq!(name("/web").as_deref(), Some("/web"));
        assert_eq!(name("/"), None);
        assert_eq!(name("/podium").as_deref(), Some("/podium"));
    }
}
