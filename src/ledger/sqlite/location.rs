//! Where an SQLite ledger may lie. SQLite finds its `-wal` and `-shm`, and this crate the owners'
//! locks, by name beside the file: two names of one file are two such sets, and neither protects the
//! other.

use std::path::Path;

/// Refuses names that SQLite takes for something else than a path.
pub(super) fn check_name(path: &Path) -> Result<(), String> {
    let name = path.to_string_lossy();
    match name.split_once(':') {
        _ if name.is_empty() => Err("it must be a path, found an empty text".to_owned()),
        // One letter is a drive's. Of a path that begins like a URI `./` in front makes a path.
        Some((scheme, _))
            if scheme.len() != 1 && scheme.bytes().all(|b| b.is_ascii_alphabetic()) =>
        {
            Err(format!("it must be a path, found {name}: give the path alone"))
        }
        _ => Ok(()),
    }
}

/// Refuses a file that others may have under another name, or whose locks do not hold. The path is
/// canonical.
pub(super) fn check_file(path: &Path) -> Result<(), String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let found = std::fs::metadata(path).map_err(|e| e.to_string())?;
        if !found.is_file() {
            return Err("it must be a regular file, found a device or the like".to_owned());
        }
        let links = found.nlink();
        if links > 1 {
            return Err(format!(
                "it must have one name, found {links} hard links: a process that opens it by another \
                 name pays for the same images again; remove the others, or copy the file"
            ));
        }
    }
    #[cfg(target_os = "linux")]
    {
        // Where /proc is not mounted it cannot be told.
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        if is_mount_point(path, &mounts) {
            return Err(
                "its folder must be mounted, found the file alone mounted: others do not see what \
                 SQLite keeps beside it; mount the folder"
                    .to_owned(),
            );
        }
        let found = rustix::fs::statfs(path).map_err(|e| e.to_string())?;
        match file_system(u64::try_from(found.f_type).unwrap_or(0)) {
            Some((name, Trust::None)) => {
                return Err(format!(
                    "it must lie on a local disk, found a network or cluster file system ({name}), \
                     where locks do not hold"
                ));
            }
            Some((name, Trust::Some(doubt))) => {
                tracing::warn!(path = %path.display(), "the ledger lies on {name}: {doubt}");
            }
            None => {}
        }
    }
    Ok(())
}

/// Whether a file was mounted itself, by the lines of proc_pid_mountinfo(5).
#[cfg(target_os = "linux")]
fn is_mount_point(path: &Path, mounts: &[u8]) -> bool {
    let mut escaped = Vec::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").into_bytes()),
            _ => escaped.push(*byte),
        }
    }
    mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(MOUNT_POINT))
        .any(|mount| mount == escaped)
}

/// What is known of a file system, by the number that statfs(2) gives it.
#[cfg(target_os = "linux")]
fn file_system(magic: u64) -> Option<(&'static str, Trust)> {
    // Some architectures give the number sign-extended.
    let magic = magic & 0xFFFF_FFFF;
    let known = FILE_SYSTEMS.iter().find(|(known, ..)| *known == magic);
    known.map(|(_, name, trust)| (*name, *trust))
}

/// How far a file system keeps a ledger.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Locks do not hold between machines.
    None,
    /// This must be said.
    Some(&'static str),
}

#[cfg(target_os = "linux")]
const IN_MEMORY: Trust = Trust::Some("it ends when this machine stops");
#[cfg(target_os = "linux")]
const BY_A_PROGRAM: Trust =
    Trust::Some("its driver decides whether locks hold; keep it to one machine");

/// The field of the mount point.
#[cfg(target_os = "linux")]
const MOUNT_POINT: usize = 4;

/// statfs(2), `linux/magic.h`, and the list of remote ones in GNU coreutils' `stat.c`.
#[cfg(target_os = "linux")]
const FILE_SYSTEMS: [(u64, &str, Trust); 26] = [
    (0x6969, "NFS", Trust::None),
    (0x517B, "SMB", Trust::None),
    (0xFF53_4D42, "CIFS", Trust::None),
    (0xFE53_4D42, "SMB2", Trust::None),
    (0x0102_1997, "9P", Trust::None),
    (0x00C3_6400, "Ceph", Trust::None),
    (0x5346_414F, "AFS", Trust::None),
    (0x6B41_4653, "kAFS", Trust::None),
    (0x7375_7245, "Coda", Trust::None),
    (0x564C, "NCP", Trust::None),
    (0x0BD0_0BD0, "Lustre", Trust::None),
    (0x4750_4653, "GPFS", Trust::None),
    (0x7461_636F, "OCFS2", Trust::None),
    (0x0116_1970, "GFS2", Trust::None),
    (0x1983_0326, "BeeGFS", Trust::None),
    (0xAAD7_AAEA, "PanFS", Trust::None),
    (0xBEEF_DEAD, "StorNext", Trust::None),
    (0x6163_6673, "ACFS", Trust::None),
    (0x2003_0528, "OrangeFS", Trust::None),
    (0x0131_11A8, "Ibrix", Trust::None),
    (0xBACB_ACBC, "VMware shared folder", Trust::None),
    (0x786F_4256, "VirtualBox shared folder", Trust::None),
    (0x7C7C_6673, "Parallels shared folder", Trust::None),
    (0x6573_5546, "FUSE", BY_A_PROGRAM),
    (0x0102_1994, "tmpfs", IN_MEMORY),
    (0x8584_58F6, "ramfs", IN_MEMORY),
];

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_known_by_their_numbers() {
        for (magic, found) in [
            (0x6969, Some(("NFS", Trust::None))),
            (0xFF53_4D42, Some(("CIFS", Trust::None))),
            (0xFFFF_FFFF_FF53_4D42, Some(("CIFS", Trust::None))),
            (0x0BD0_0BD0, Some(("Lustre", Trust::None))),
            (0x6573_5546, Some(("FUSE", BY_A_PROGRAM))),
            (0x0102_1994, Some(("tmpfs", IN_MEMORY))),
            (0xEF53, None),
            (0x9123_683E, None),
            (0x5846_5342, None),
            (0x794C_7630, None),
        ] {
            assert_eq!(file_system(magic), found, "{magic:x}");
        }
        assert_eq!(check_file(Path::new("/proc/self/mountinfo")), Ok(()));
    }

    #[test]
    fn a_mounted_file_is_known_by_the_kernels_list() {
        let mounts = b"36 35 98:0 / / rw,noatime master:1 - ext4 /dev/root rw\n\
            97 36 254:0 /host/ledger.db /data/ledger.db rw - ext4 /dev/vda rw\n\
            98 36 254:0 /host/b.db /data/a\\040b\\134c.db rw - ext4 /dev/vda rw\n";
        for (path, is) in [
            ("/data/ledger.db", true),
            ("/data/a b\\c.db", true),
            ("/host/ledger.db", false),
            ("/data", false),
            ("/data/ledger.db-wal", false),
        ] {
            assert_eq!(is_mount_point(Path::new(path), mounts), is, "{path}");
        }
    }
}
