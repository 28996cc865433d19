//! What is checked before a start touches anything: ports free, folders usable, stores not held by somebody else. Every
//! check says all that is needed to act: what, where, who is in the way. Makes no file and no folder.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::process::{Flock, FlockType};

use super::file::plain;

/// Whether somebody else listens there; the socket is closed again at once.
pub fn port(what: &str, address: SocketAddr) -> Result<(), String> {
    let error = match TcpListener::bind(address) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    Err(match error.kind() {
        io::ErrorKind::AddrInUse => format!("{what}: port {} is in use{}", address.port(), held_by(address.port())),
        io::ErrorKind::AddrNotAvailable => format!("{what}: {} is no address of this machine", address.ip()),
        io::ErrorKind::PermissionDenied => {
            format!("{what}: no permission to listen on port {} (below 1024 it takes root)", address.port())
        }
        _ => format!("{what}: listening on {address}: {error}"),
    })
}

/// Whether a folder can be used or made.
pub fn folder(what: &str, path: &Path) -> Result<(), String> {
    let absolute = std::path::absolute(path).map_err(|error| format!("{what}: {}: {error}", path.display()))?;
    for existing in absolute.ancestors() {
        let found = match fs::metadata(existing) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{what}: {}: {error}", existing.display())),
        };
        if !found.is_dir() {
            return Err(format!("{what}: {} is a file, a folder is needed", existing.display()));
        }
        return rustix::fs::access(existing, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
            let (folder, error) = (existing.display(), plain(&error.into()));
            format!(
                "{what}: {folder} cannot be written by this user ({error}); change its owner, or choose another folder"
            )
        });
    }
    Err(format!("{what}: {} has no parent folder", path.display()))
}

/// Whether the store in `root` is held by another process. Asks only, takes nothing: classic POSIX locks, as Java's.
pub fn unlocked(what: &str, root: &Path) -> Result<(), String> {
    let path = root.join("lock");
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        // No store yet; what is wrong with the folder is found by the look at the folder.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(format!("{what}: {}: {error}", path.display())),
    };
    match rustix::process::fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)) {
        Ok(None) => Ok(()),
        Ok(Some(holder)) => {
            let who = holder.pid.map_or_else(String::new, |pid| format!(" by {}", process(pid.as_raw_nonzero().get())));
            Err(format!("{what}: {} is in use{who}; stop that, or choose another folder", root.display()))
        }
        Err(error) => Err(format!("{what}: {}: {}", path.display(), io::Error::from(error))),
    }
}

/// A process for people: its id and its name.
pub fn process(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    match name.trim() {
        "" => format!("process {pid}"),
        name => format!("process {pid} ({name})"),
    }
}

/// ` by process 4711 (java)`, or nothing where the system does not tell.
fn held_by(port: u16) -> String {
    let sockets: Vec<_> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| listening_socket(line, port)).collect::<Vec<_>>())
        .collect();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| holds(*pid, &sockets))
        .map_or_else(String::new, |pid| format!(" by {}", process(pid)))
}

/// The socket's link name, if the line of `/proc/net/tcp` is a listener on `port`.
fn listening_socket(line: &str, port: u16) -> Option<PathBuf> {
    const LISTEN: &str = "0A";
    let columns: Vec<_> = line.split_whitespace().collect();
    let local = columns.get(1)?.rsplit_once(':')?.1;
    let ours = u16::from_str_radix(local, 16).ok()? == port && *columns.get(3)? == LISTEN;
    ours.then(|| PathBuf::from(format!("socket:[{}]", columns.get(9).unwrap_or(&"0"))))
}

fn holds(pid: i32, sockets: &[PathBuf]) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| sockets.contains(&target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_told_with_its_holder() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let told = port("broker", address).expect_err("in use");
        let ourselves = format!("process {}", std::process::id());
        assert!(told.starts_with(&format!("broker: port {} is in use by {ourselves}", address.port())), "{told}");
        drop(listener);
        assert_eq!(port("broker", address), Ok(()));
        assert!(
            port("broker", "192.0.2.77:0".parse().expect("an address"))
                .expect_err("not ours")
                .contains("no address of")
        );
    }

    #[test]
    fn a_folder_is_usable_if_it_or_its_nearest_parent_is() {
        let base = std::env::temp_dir().join(format!("rocketmq-preflight-{}", std::process::id()));
        fs::create_dir_all(&base).expect("the temporary folder is writable");
        assert_eq!(folder("store", &base.join("a/b/c")), Ok(()));
        assert!(!base.join("a").exists(), "nothing is made");
        fs::write(base.join("file"), "x").expect("writable");
        assert!(folder("store", &base.join("file/x")).expect_err("below a file").contains("Not a directory"));
        assert!(folder("store", &base.join("file")).expect_err("a file").contains("is a file, a folder is needed"));
        assert_eq!(unlocked("store", &base), Ok(()));
        fs::remove_dir_all(&base).expect("ours");
    }
}
