//! Lists the block nodes of a QEMU, then waits for an event: `watch SOCKET EVENT`.

use std::time::Duration;

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::QueryNamedBlockNodes;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, name] = arguments.as_slice() else {
        return Err("usage: watch SOCKET EVENT".into());
    };
    let client = Client::connect_unix(socket)?;
    // Before anything that might cause the event.
    let events = client.subscribe();
    println!("QEMU {}", client.greeting().version);
    for node in client.execute(&QueryNamedBlockNodes { flat: Some(true) })? {
        let name = node.node_name.unwrap_or_default();
        println!("{name} ({}): {} bytes", node.drv, node.image.virtual_size);
    }
    match events.wait_for(|event| event.name == *name, Duration::from_secs(60))? {
        Some(event) => println!("{name}: {:?}", event.data),
        None => println!("no {name} within a minute"),
    }
    Ok(())
}
