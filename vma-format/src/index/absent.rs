//! What takes the place of indexes in a build without them: none is written, and none read.

use std::convert::Infallible;
use std::io::Read;
use std::marker::PhantomData;

use crate::error::{Error, Result};
use crate::extent::run::Run;
use crate::extent::{ClusterEntry, Extent};
use crate::header::Header;
use crate::read_at::ReadAt;

/// Nothing.
#[derive(Debug)]
pub(crate) struct ExtentDigest;

/// Nothing.
#[derive(Debug)]
pub(crate) struct IndexBuilder;

/// What cannot be opened.
#[derive(Debug)]
pub(crate) struct IndexReader<R>(Infallible, PhantomData<R>);

/// What nothing is checked against.
#[derive(Debug)]
pub(crate) struct Checks<I>(Infallible, PhantomData<I>);

/// What is never known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum(Infallible);

/// What is never read.
#[derive(Debug)]
pub(crate) struct IndexRecord(Infallible);

impl ExtentDigest {
    pub(crate) const fn of(_: &Extent) -> Self {
        Self
    }

    pub(crate) const fn length(&self) -> u32 {
        0
    }

    pub(crate) const fn fits(&self, _: &Extent) -> bool {
        true
    }

    pub(crate) const fn has_clusters_of(&self, _: &Extent) -> bool {
        true
    }

    pub(crate) fn sums(&self) -> impl Iterator<Item = Sum> {
        std::iter::empty()
    }

    pub(crate) fn damaged(&self, _: &Extent) -> impl Iterator<Item = ClusterEntry> {
        std::iter::empty()
    }
}

impl IndexBuilder {
    pub(crate) const fn new(_: &Header) -> (Self, Vec<u8>) {
        (Self, Vec::new())
    }

    pub(crate) const fn extent(&mut self, _: &ExtentDigest) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    pub(crate) const fn finish(self) -> Vec<u8> {
        Vec::new()
    }
}

impl Sum {
    pub(crate) const fn proves(self, _: &[u8]) -> bool {
        match self.0 {}
    }
}

impl<I> Checks<I> {
    pub(crate) const fn sum_at(&self, _: u64) -> Option<Sum> {
        match self.0 {}
    }

    pub(crate) const fn extents(&self, _: &mut dyn FnMut(u64, &[Run]) -> Result<()>) -> Result<()> {
        match self.0 {}
    }

    pub(crate) const fn read_exact_at(&self, _: &impl ReadAt, _: u64, _: &mut [u8]) -> Result<()> {
        match self.0 {}
    }
}

impl<R: Read> IndexReader<R> {
    pub(crate) fn new(_: R) -> Result<Self> {
        Err(absent())
    }

    pub(crate) const fn check(&self, _: &Header) -> Result<()> {
        match self.0 {}
    }

    pub(crate) const fn is_likely_of(&self, _: &Header) -> bool {
        match self.0 {}
    }

    pub(crate) const fn next_record(&mut self) -> Result<Option<IndexRecord>> {
        match self.0 {}
    }
}

impl IndexRecord {
    pub(crate) const fn number(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) const fn offset(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) const fn digest(&self) -> &ExtentDigest {
        match self.0 {}
    }
}

/// That an index was given.
pub(crate) fn absent() -> Error {
    Error::absent("an index", "index")
}
