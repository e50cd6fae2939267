//! A guest of 64 bytes, which heeds nothing but its power button: boots in a second, and powers down when it is pressed.

use std::fs;
use std::time::{Duration, Instant};

use fleece_lab::{Machine, Qemu};
use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{Cont, QueryStatus, SystemPowerdown};

/// Both disks are as large.
pub(crate) const SIZE: u64 = 16 << 20;

/// Longer than any machine takes.
const SOON: Duration = Duration::from_secs(60);

/// A machine with two disks, `virtio0` with the guest and `virtio1`, both full of data.
pub(crate) struct Guest {
    pub(crate) machine: Machine,
    before: Vec<u8>,
}

impl Guest {
    /// One that runs, and powers down when its button was pressed so many times; the nodes of its disks have names, or
    /// have none.
    pub(crate) fn boot(qemu: &Qemu, presses: usize, named: bool) -> Self {
        let guest = Self::hold(qemu, presses, named);
        guest.client().execute(&Cont {}).unwrap();
        guest.await_boots(1);
        guest
    }

    /// The same before its first instruction.
    pub(crate) fn hold(qemu: &Qemu, presses: usize, named: bool) -> Self {
        let mut builder = Machine::builder(qemu).unwrap();
        let before = image(presses);
        for number in [0, 1] {
            let image = builder.folder().join(format!("disk{number}.raw"));
            fs::write(&image, &before).unwrap();
            let image = image.display();
            builder = match named {
                true => builder.option(
                    "-blockdev",
                    format!(
                        "driver=raw,node-name=drive-virtio{number},file.driver=file,file.filename={image}"
                    ),
                ),
                false => builder.option(
                    "-drive",
                    format!("if=none,id=drive-virtio{number},format=raw,file={image}"),
                ),
            };
            let device = format!(
                "virtio-blk-pci,id=virtio{number},drive=drive-virtio{number},bootindex={number}"
            );
            builder = builder.option("-device", device);
        }
        let serial = format!("file:{}", builder.folder().join("serial").display());
        let machine = builder.option("-serial", serial).start().unwrap();
        Self { machine, before }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect_unix(self.machine.test_socket()).unwrap()
    }

    /// The state, in QEMU's word.
    pub(crate) fn status(&self) -> String {
        self.client().execute(&QueryStatus {}).unwrap().status
    }

    /// What its disks have.
    pub(crate) fn before(&self) -> &[u8] {
        &self.before
    }

    /// How often it has booted.
    pub(crate) fn boots(&self) -> usize {
        let serial = fs::read(self.machine.folder().join("serial"));
        serial.unwrap().iter().filter(|byte| **byte == b'R').count()
    }

    /// Waits until it has booted so many times.
    pub(crate) fn await_boots(&self, count: usize) {
        let start = Instant::now();
        while self.boots() < count {
            assert!(start.elapsed() < SOON, "{} boots", self.boots());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Writes to the second disk, as the guest would.
    pub(crate) fn write(&self, command: &str) {
        let line = format!("qemu-io -d /machine/peripheral/virtio1/virtio-backend \"{command}\"");
        let arguments = serde_json::json!({ "command-line": line });
        let said = self
            .client()
            .execute_raw("human-monitor-command", Some(arguments));
        let said = said.unwrap().to_string();
        assert!(!said.contains("rror") && !said.contains("failed"), "{said}");
    }

    /// Presses the button: the guest powers down, and its QEMU ends, as if nothing had ever been different.
    pub(crate) fn assert_ends_when_pressed(&self) {
        let client = self.client();
        client.execute(&SystemPowerdown {}).unwrap();
        let start = Instant::now();
        while client.closed().is_none() {
            assert!(start.elapsed() < SOON, "QEMU stays: {}", self.status());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A disk full of data, with the guest in its boot sector.
pub(crate) fn image(presses: usize) -> Vec<u8> {
    // mov dx, 602h; mov ax, 100h; out dx, ax: the button counts (ACPI's PM1 enable register).
    let mut code = vec![0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef];
    // mov dx, 3f8h; mov al, 'R'; out dx, al: tell it at the serial port. mov dx, 600h.
    code.extend([0xba, 0xf8, 0x03, 0xb0, b'R', 0xee, 0xba, 0x00, 0x06]);
    for _ in 0..presses {
        // l: sti; hlt; in ax, dx; test ah, 1; jz l; out dx, ax: wait for the button.
        code.extend([0xfb, 0xf4, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf8, 0xef]);
    }
    // mov dx, 604h; mov ax, 2000h; out dx, ax; l: jmp l: power down.
    code.extend([0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xeb, 0xfe]);
    code.resize(510, 0);
    code.extend([0x55, 0xaa]);
    code.resize(usize::try_from(SIZE).unwrap(), 0x11);
    code
}
