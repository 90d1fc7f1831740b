//! libgit2's settings for the whole process, made once before its first use.

use std::sync::Once;

/// Bytes that are mapped of a pack at a time, and of all packs together. libgit2's own limits (32 MB and 8 GB on 64-bit systems)
/// let the memory of a push grow with the repository. Smaller windows cost more: they overlap by half, and if those of a pack
/// do not fit they are mapped anew for each object, which takes 2.5 times the time for a backlog of 10,000 packed commits.
const MAP_WINDOW: usize = 4 * 1024 * 1024;
const MAP_LIMIT: usize = 8 * 1024 * 1024;

/// Makes the settings.
///
/// - libgit2 does not check the ids of the objects that it reads: `pack` does, without looking for crafted collisions. That
///   would take most of the time of a push with large trees, and is of no use in our own objects.
/// - It does not keep up to 256 MiB of what it reads: `pack` keeps what is needed again.
pub(crate) fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        git2::opts::strict_hash_verification(false);
        git2::opts::enable_caching(false);
        #[expect(
            unsafe_code,
            reason = "git2 has no other switches for these globals of libgit2"
        )]
        // SAFETY: these are plain globals of libgit2. Every use of it in this crate comes after this, and `Once` makes other
        // threads wait for its end.
        let switched = unsafe {
            git2::opts::set_mwindow_size(MAP_WINDOW)
                .and_then(|()| git2::opts::set_mwindow_mapped_limit(MAP_LIMIT))
        };
        if let Err(error) = switched {
            tracing::debug!(%error, "libgit2 keeps its own limits");
        }
    });
}
