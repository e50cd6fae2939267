//! Measures how fast a file is encrypted, decrypted from front to back, and read at any offset.

use std::error::Error;
use std::io::{self, Write as _};
use std::time::Instant;

use fleece_encryption::{Decrypted, Decryptor, Encryptor, Identities, Recipients};

const PUBLIC: &str = "age1ljcdyhumve349rx595da06rw0lg6psd09aq7z3cu95mz54lzxsrsf6rmrx";
const SECRET: &str = "AGE-SECRET-KEY-1WZNYFFY6UQ3SREZKGZ8N6ARPXCK0UUJM5RRA4KKK9J73UFR6DY9SMGEZZA";

/// How much is encrypted, in MiB.
const SIZE: u64 = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut recipients = Recipients::new();
    recipients.add(PUBLIC)?;
    let mut identities = Identities::new();
    identities.add(SECRET)?;
    let piece = vec![0x5a; 1 << 20];

    let begun = Instant::now();
    let mut encryptor = Encryptor::new(Vec::with_capacity(1100 << 20), &recipients)?;
    for _ in 0..SIZE {
        encryptor.write_all(&piece)?;
    }
    let file = encryptor.finish()?;
    tell("encrypted", begun);

    let begun = Instant::now();
    io::copy(
        &mut Decryptor::new(&file[..], &identities)?,
        &mut io::sink(),
    )?;
    tell("decrypted, front to back", begun);

    let decrypted = Decrypted::open(file, &identities)?;
    for (what, length) in [("read by 1 MiB", 1 << 20), ("read by 4 KiB", 4 << 10)] {
        let begun = Instant::now();
        let mut part = vec![0; length];
        for offset in (0..decrypted.size()).step_by(length) {
            decrypted.read_exact_at(&mut part, offset)?;
        }
        tell(what, begun);
    }
    Ok(())
}

fn tell(what: &str, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
    let rate = SIZE as f64 / seconds;
    println!("{what}: {rate:.0} MiB/s");
}
