//! What a run tells other processes beside its `RunInfo`.

use aya::{
    Pod,
    maps::{Array, MapData},
};
use toa_common::{
    maps::{ACTIVITY, CHANGES, INFO, MapSpec, SETTINGS, SETTINGS_BYTES},
    rule_change::{ChangeRecord, KEPT_CHANGES},
    run_activity::RunActivity,
    run_info::RunInfo,
};

use super::{Run, RunsError, settings::Settings};

impl Run {
    /// Returns how the run was started, if that can be read.
    pub fn settings(&self) -> Result<Option<Settings>, RunsError> {
        let bytes = self.value::<[u8; SETTINGS_BYTES]>(&SETTINGS)?;
        Ok(Settings::from_bytes(&bytes))
    }

    /// Returns what the run has found so far.
    pub fn activity(&self) -> Result<RunActivity, RunsError> {
        self.value(&ACTIVITY)
    }

    /// Tells the run of a change of its rules. The caller must hold the lock.
    pub fn note_change(&self, mut change: ChangeRecord) -> Result<(), RunsError> {
        change.number = self.value::<RunInfo>(&INFO)?.rule_changes;
        let place = u32::try_from(change.number % u64::from(KEPT_CHANGES)).unwrap_or(0);
        let mut map = self.map(&CHANGES, Array::<_, ChangeRecord>::try_from)?;
        map.set(place, change, 0)
            .map_err(|source| RunsError::Map { path: self.path.join(CHANGES.name), source })?;
        // Last, so that the record is there.
        self.change_info(|info| info.rule_changes = info.rule_changes.wrapping_add(1))
    }

    /// Returns the only value of a map.
    fn value<V: Pod>(&self, spec: &MapSpec) -> Result<V, RunsError> {
        self.map(spec, |map| Array::<MapData, V>::try_from(map)?.get(&0, 0))
    }
}
