//! A Unix socket between `fleece` and a server, which can be cut.

use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Passes connections to its path on to a server. Descriptors do not get through.
pub(crate) struct Proxy {
    path: PathBuf,
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl Proxy {
    pub(crate) fn start(path: PathBuf, server: &Path) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let open = Arc::new(Mutex::new(Vec::new()));
        let (server, kept) = (server.to_owned(), Arc::clone(&open));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, UnixStream::connect(&server)) else {
                    return;
                };
                for (mut from, mut to) in [(clone(&client), clone(&server)), (server, client)] {
                    kept.lock().unwrap().push(clone(&from));
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { path, open }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends all connections. New ones are welcome.
    pub(crate) fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends all connections, and nobody finds the socket any more.
    pub(crate) fn vanish(&self) {
        std::fs::remove_file(&self.path).unwrap();
        self.cut();
    }
}

fn clone(stream: &UnixStream) -> UnixStream {
    stream.try_clone().unwrap()
}
