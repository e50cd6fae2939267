//! `cargo xtask lab`.

/// Prepares the lab and says what it has.
pub(crate) fn prepare() -> Result<(), String> {
    let lab = fleece_lab::prepare().map_err(|error| format!("{error:?}"))?;
    for qemu in &lab.qemus {
        println!("QEMU {}: {}", qemu.version(), qemu.programs().display());
    }
    for note in &lab.notes {
        println!("note: {note}");
    }
    println!("guests run on {}", lab.accelerator);
    Ok(())
}
