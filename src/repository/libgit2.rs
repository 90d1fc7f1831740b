//! What libgit2 offers for the whole process only, set once before its first use.

use std::sync::Once;

/// Bytes of a pack that are mapped at a time, and of all packs together. libgit2's own limits (32 MB and 8 GB on
/// 64-bit systems) let the memory of a push grow with the repository. Windows overlap by half, so that a limit holds packs of
/// half its size; measured on a backlog of 10,000 packed commits, many small windows that do not fit are mapped and unmapped
/// for each object, in 2.5 times the time.
const MAP_WINDOW: usize = 4 * 1024 * 1024;
const MAP_LIMIT: usize = 8 * 1024 * 1024;

/// Sets libgit2 up.
///
/// - It need not check the ids of what it reads: `pack` does that itself, without looking for crafted collisions,
///   which took most of the time of a push with large trees and has no use in our own objects.
/// - It need not keep what it reads, up to 256 MiB: `pack` keeps what is needed again.
pub(crate) fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        git2::opts::strict_hash_verification(false);
        git2::opts::enable_caching(false);
        #[expect(
            unsafe_code,
            reason = "git2 has no other switches for these globals of libgit2"
        )]
        // SAFETY: plain globals of libgit2. Every use of it in this crate comes after this, and `Once` makes other
        // threads wait for the end of it.
        let switched = unsafe {
            git2::opts::set_mwindow_size(MAP_WINDOW)
                .and_then(|()| git2::opts::set_mwindow_mapped_limit(MAP_LIMIT))
        };
        if let Err(error) = switched {
            tracing::debug!(%error, "libgit2 keeps its own limits");
        }
    });
}
