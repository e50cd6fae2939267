//! Holds the disks of a running QEMU at one instant, until a line is read: `instant MONITOR DIRECTORY [NBD-SERVER]`.

use std::sync::Arc;
use std::{env, error::Error, io, path::PathBuf};

use fleece_fleecing::{Options, Place, Record, Session, cleanup, discover};
use fleece_qmp_client::{Address, Client};
use fleece_storage::{DirPlugin, Storages};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1).map(PathBuf::from);
    let (Some(monitor), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: instant MONITOR DIRECTORY [NBD-SERVER]".into());
    };
    let (monitor, guest) = (Address::unix(monitor), "100".parse()?);
    let place = Place::new(&directory, guest, None);
    // What a run that was killed has left.
    for removed in cleanup(&place, None, &Storages::none())?.done {
        println!("removed {removed}");
    }
    let record = Record::open(&place)?;
    let client = Client::connect(&monitor, &fleece_qmp_client::Options::default())?;
    let disks = discover(&client)?.disks;
    let storage = Arc::new(DirPlugin::plain(&directory)?);
    let mut options = Options::new(place.guest().clone(), place.nbd_socket());
    options.running_server = arguments.next().map(Address::unix);
    let mut session = Session::new(client, monitor, storage, &record, disks, options)?;
    session.prepare()?;
    session.switch()?;
    let server = session.export()?;
    for (n, disk) in session.disks().iter().enumerate() {
        println!("{} is {} at {server}", disk.name, Session::export_name(n));
    }
    io::stdin().read_line(&mut String::new())?;
    // Dropped instead, as by an error above, a session undoes the same, and only a log hears of failures.
    session
        .finish()
        .map_err(|errors| format!("{errors:?}").into())
}
