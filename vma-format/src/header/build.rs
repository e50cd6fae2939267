//! Building a header.

use byteorder::{BE, WriteBytesExt};

use super::name::check_name;
use super::{Config, Device, Header, parse};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{
    BLOCK_SIZE, DeviceId, FIXED_HEADER_SIZE, MAX_BLOB_SIZE, MAX_CLUSTERS, MAX_CONFIGS, MAX_DEVICES,
    MAX_HEADER_SIZE, cluster_count,
};

/// Collects what an archive will hold.
///
/// Identity and time come from the caller, so that the same input gives the same bytes.
///
/// ```
/// # fn main() -> fleece_vma_format::Result<()> {
/// use fleece_vma_format::HeaderBuilder;
///
/// let mut builder = HeaderBuilder::new([7; 16], 1_700_000_000);
/// builder.add_config("qemu-server.conf", "memory: 512\n")?;
/// let disk = builder.add_device("drive-scsi0", 4 << 30)?;
/// let header = builder.build()?;
/// assert_eq!(header.device(disk).map(|device| device.name()), Some("drive-scsi0"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HeaderBuilder {
    uuid: [u8; 16],
    ctime: i64,
    configs: Vec<Config>,
    devices: Vec<Device>,
    aligned: bool,
}

impl HeaderBuilder {
    /// An empty header of the archive with this identity, made at `ctime`, in seconds since 1970.
    #[must_use]
    pub const fn new(uuid: [u8; 16], ctime: i64) -> Self {
        Self {
            uuid,
            ctime,
            configs: Vec::new(),
            devices: Vec::new(),
            aligned: false,
        }
    }

    /// Makes the archive aligned: all payload is on 4 KiB boundaries of the file, and which clusters share an
    /// extent depends on their numbers alone. So what is equal in two archives of a disk can be shared by them on
    /// file systems that clone. It makes an archive 0.1 % larger; every reader of the format accepts it, but its
    /// bytes are not those that the reference writes.
    #[must_use]
    pub const fn aligned(mut self) -> Self {
        self.aligned = true;
        self
    }

    /// Adds a config file.
    ///
    /// # Errors
    /// [`ErrorKind::Name`], [`ErrorKind::DuplicateName`], and [`ErrorKind::HeaderFull`] if it is
    /// larger than 65535 bytes or the 257th.
    pub fn add_config(&mut self, name: &str, data: impl Into<Vec<u8>>) -> Result<()> {
        let data = data.into();
        check_name(name.as_bytes())?;
        if self.configs.iter().any(|config| config.name == name) {
            return Err(Error::new(
                ErrorKind::DuplicateName,
                format!("config {name} given twice"),
            ));
        }
        if data.len() > MAX_BLOB_SIZE {
            return Err(Error::new(
                ErrorKind::HeaderFull,
                format!(
                    "config {name} has {} bytes, an archive holds at most {MAX_BLOB_SIZE} each",
                    data.len()
                ),
            ));
        }
        if self.configs.len() >= MAX_CONFIGS {
            return Err(Error::new(
                ErrorKind::HeaderFull,
                format!("an archive holds at most {MAX_CONFIGS} configs"),
            ));
        }
        self.configs.push(Config {
            name: name.to_owned(),
            data,
        });
        Ok(())
    }

    /// Adds a device of `size` bytes; ids are given from 1 upward.
    ///
    /// # Errors
    /// [`ErrorKind::Name`], [`ErrorKind::DuplicateName`], [`ErrorKind::DeviceSize`], and
    /// [`ErrorKind::HeaderFull`] after 254 devices.
    pub fn add_device(&mut self, name: &str, size: u64) -> Result<DeviceId> {
        check_name(name.as_bytes())?;
        if self.devices.iter().any(|device| device.name == name) {
            return Err(Error::new(
                ErrorKind::DuplicateName,
                format!("device {name} given twice"),
            ));
        }
        if size == 0 || cluster_count(size) > MAX_CLUSTERS {
            return Err(Error::new(
                ErrorKind::DeviceSize,
                format!("device {name} has {size} bytes, an archive holds 1 byte to 256 TiB each"),
            ));
        }
        let full = || {
            Error::new(
                ErrorKind::HeaderFull,
                format!("an archive holds at most {MAX_DEVICES} devices"),
            )
        };
        if self.devices.len() >= MAX_DEVICES {
            return Err(full());
        }
        let id = u8::try_from(self.devices.len().saturating_add(1)).map_err(|_| full())?;
        let id = DeviceId::new(id).ok_or_else(full)?;
        self.devices.push(Device {
            id,
            name: name.to_owned(),
            size,
        });
        Ok(id)
    }

    /// The finished header.
    ///
    /// # Errors
    /// [`ErrorKind::HeaderFull`] if all together needs more than [`MAX_HEADER_SIZE`] bytes.
    pub fn build(self) -> Result<Header> {
        let mut blobs = Blobs::new();
        let mut config_names = [0; MAX_CONFIGS];
        let mut config_data = [0; MAX_CONFIGS];
        for ((config, name), data) in self
            .configs
            .iter()
            .zip(&mut config_names)
            .zip(&mut config_data)
        {
            *name = blobs.name(&config.name)?;
            *data = blobs.add(&config.data)?;
        }
        let mut devices = [(0, 0); 256];
        for (device, slot) in self.devices.iter().zip(devices.iter_mut().skip(1)) {
            *slot = (blobs.name(&device.name)?, device.size);
        }
        let bytes = blobs.header(&self, &config_names, &config_data, &devices)?;
        Ok(Header {
            uuid: self.uuid,
            ctime: self.ctime,
            configs: self.configs,
            devices: self.devices,
            bytes,
            aligned: self.aligned,
        })
    }
}

/// The blob table: byte 0 is a filler, so that offset 0 can mean "none".
struct Blobs(Vec<u8>);

impl Blobs {
    fn new() -> Self {
        Self(vec![0])
    }

    /// Appends a name with its NUL; returns its offset in the table.
    fn name(&mut self, name: &str) -> Result<u32> {
        let mut bytes = name.as_bytes().to_vec();
        bytes.push(0);
        self.add(&bytes)
    }

    /// Appends a blob; its length is the format's only little-endian number.
    fn add(&mut self, data: &[u8]) -> Result<u32> {
        let offset = u32::try_from(self.0.len()).map_err(|_| too_large())?;
        let length = u16::try_from(data.len()).map_err(|_| too_large())?;
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(data);
        Ok(offset)
    }

    fn header(
        self,
        head: &HeaderBuilder,
        config_names: &[u32],
        config_data: &[u32],
        devices: &[(u32, u64)],
    ) -> Result<Vec<u8>> {
        let used = self.0.len();
        let unit = if head.aligned { BLOCK_SIZE } else { 512 };
        let size = FIXED_HEADER_SIZE.saturating_add(used.next_multiple_of(unit));
        if size > MAX_HEADER_SIZE {
            return Err(too_large());
        }
        let number = |n: usize| u32::try_from(n).map_err(|_| too_large());
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(parse::MAGIC);
        put_u32(&mut out, 1);
        out.extend_from_slice(&head.uuid);
        out.extend_from_slice(&head.ctime.to_be_bytes());
        out.extend_from_slice(&[0; 16]); // the MD5, filled in below
        put_u32(&mut out, number(FIXED_HEADER_SIZE)?);
        put_u32(&mut out, number(used)?);
        put_u32(&mut out, number(size)?);
        out.resize(parse::CONFIG_NAMES, 0);
        config_names
            .iter()
            .chain(config_data)
            .for_each(|&offset| put_u32(&mut out, offset));
        put_u32(&mut out, 0);
        for &(name, bytes) in devices {
            put_u32(&mut out, name);
            put_u32(&mut out, 0);
            out.extend_from_slice(&bytes.to_be_bytes());
            out.extend_from_slice(&[0; 16]);
        }
        out.extend_from_slice(&self.0);
        out.resize(size, 0);
        let md5 = parse::checksum(&out);
        if let Some(field) = out.get_mut(parse::MD5) {
            field.copy_from_slice(&md5);
        }
        Ok(out)
    }
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    // Writing to a vector cannot fail.
    let _ = out.write_u32::<BE>(value);
}

fn too_large() -> Error {
    Error::new(
        ErrorKind::HeaderFull,
        format!(
            "configs and names together exceed the {MAX_HEADER_SIZE} bytes that a header can have"
        ),
    )
}
