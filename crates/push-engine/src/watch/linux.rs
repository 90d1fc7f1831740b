//! The file events of one ref.

mod hub;
mod table;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;

use git_local::repository::places_of_ref;

use super::Watches;
pub(super) use hub::Hub;
use table::RefId;

/// The file events of one ref. Dropping it ends its watches.
pub(super) struct FileEvents {
    common_dir: PathBuf,
    git_dir: PathBuf,
    refname: String,
    /// Set where changes from another machine cause no events.
    unreliable: OnceLock<Option<String>>,
    hub: Arc<Hub>,
    id: RefId,
    changed: Arc<Notify>,
    /// Serializes `arm`.
    arming: Mutex<()>,
}

impl FileEvents {
    /// # Errors
    ///
    /// Fails with a reason where the system refuses file events.
    pub(super) fn start(
        watches: &Watches,
        common_dir: &Path,
        git_dir: &Path,
        refname: &str,
    ) -> Result<Self, String> {
        let hub = Hub::shared(&watches.0.hub)?;
        let (id, changed) = hub.add();
        Ok(Self {
            common_dir: common_dir.to_owned(),
            git_dir: git_dir.to_owned(),
            refname: refname.to_owned(),
            unreliable: OnceLock::new(),
            hub,
            id,
            changed,
            arming: Mutex::default(),
        })
    }

    /// Watches the directories that exist now, and no others. It goes from the top down: each is looked up after the
    /// watch on its parent would report its replacement.
    ///
    /// # Errors
    ///
    /// Fails with a reason where the events cannot be relied on. Those that come are still reported.
    pub(super) fn arm(&self) -> Result<(), String> {
        let _serialized = self.arming.lock().unwrap_or_else(PoisonError::into_inner);
        let places = places_of_ref(&self.common_dir, &self.git_dir, &self.refname);
        let armed = self.hub.arm(self.id, places);
        let unreliable = self.unreliable.get_or_init(|| why_unreliable(&self.common_dir));
        unreliable.clone().map_or(armed, Err)
    }

    /// Resolves when a watched name or directory may have changed. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for FileEvents {
    fn drop(&mut self) {
        self.hub.remove(self.id);
    }
}

/// File systems on which another machine, or the host of a virtual one, can write without an event here: the `f_type`
/// values of statfs(2) and of the kernel's `magic.h`.
const REMOTE_FILE_SYSTEMS: [(u32, &str); 13] = [
    (0x6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x517B, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x786F_4256, "vboxsf"),
];

fn why_unreliable(directory: &Path) -> Option<String> {
    let kind = rustix::fs::statfs(directory).ok()?.f_type;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "the type of f_type varies with the target; the values have 32 bits"
    )]
    let kind = kind as u32;
    let (_, name) = REMOTE_FILE_SYSTEMS.iter().find(|&&(magic, _)| magic == kind)?;
    Some(format!(
        "{} is on {name}, where changes by other machines cause no file events",
        directory.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_file_system_is_not_taken_for_a_remote_one() {
        // proc(5) is the one local file system that every Linux has at a known place.
        assert_eq!(why_unreliable(Path::new("/proc")), None);
    }
}
