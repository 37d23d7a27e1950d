//! The files that a run may use, restricted by Landlock (`landlock(7)`).

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, path_beneath_rules,
};

use super::{duties::Duties, error::SandboxError};

/// The newest version whose restrictions are known to leave us what we need. Older kernels restrict less.
const ABI: ABI = ABI::V5;

/// What is read while a run lasts: processes, sockets, cgroups and CPUs.
const READ: [&str; 2] = ["/proc", "/sys"];

/// Leaves this thread and those that it starts only reading below [`READ`] and its duties: finding and removing pins, creating,
/// writing and perhaps renaming files; and what is open already. Also forbids TCP connections to other ports.
pub(super) fn restrict(duties: &Duties) -> Result<(), SandboxError> {
    let removal: BitFlags<_> = AccessFs::RemoveFile | AccessFs::RemoveDir;
    let mut writing: BitFlags<_> = AccessFs::WriteFile | AccessFs::MakeReg;
    if duties.rotates {
        writing |= AccessFs::RemoveFile;
    }
    let port = duties.connects.map(|port| Ok::<_, RulesetError>(NetPort::new(port, AccessNet::ConnectTcp)));
    let restrict = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(ABI))?
            .handle_access(AccessNet::from_all(ABI))?
            .create()?
            .add_rules(path_beneath_rules(READ, AccessFs::from_read(ABI) & !AccessFs::Execute))?
            .add_rules(path_beneath_rules(&duties.pins, removal | AccessFs::ReadDir))?
            .add_rules(path_beneath_rules(&duties.outputs, writing))?
            .add_rules(port)?
            .restrict_self()
    };
    match restrict() {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => Err(SandboxError::NoLandlock),
        Ok(_) => Ok(()),
        Err(error) => Err(SandboxError::Files(error)),
    }
}
