//! What a dirty bitmap marks, asked of an NBD server.

use fleece_nbd::{Address, Client, Options};

use crate::pipeline::source::Source;
use crate::pipeline::source::incremental::DirtyMap;
use crate::report::error::{Error, ErrorKind};

/// The map of a bitmap is asked for this much of the disk at a time, so that the answer takes little memory however
/// scattered the writes were.
const WINDOW: u64 = 1 << 30;

/// What `bitmap` marks of the disk that is exported as `export` and read as `view`, over a connection of its own.
pub(crate) fn marked(
    server: &Address,
    export: &str,
    bitmap: &str,
    view: &dyn Source,
) -> Result<DirtyMap, Error> {
    let failed = |error| {
        let message = format!("{}: cannot read the dirty bitmap", view.name());
        Error::caused(ErrorKind::Guest, message, error)
    };
    let options = Options::default()
        .with_connections(1)
        .with_dirty_bitmap(bitmap);
    let client = Client::connect(server, export, &options).map_err(failed)?;
    let size = view.size();
    let mut map = DirtyMap::clean(size);
    let mut at = 0;
    while at < size {
        let length = WINDOW.min(size.saturating_sub(at));
        for (length, dirty) in client.dirty(at, length).map_err(failed)? {
            let end = at.saturating_add(length);
            if dirty {
                map.mark(at..end);
            }
            at = end;
        }
    }
    client.disconnect();
    Ok(map)
}
