//! The client and real programs: live, and as they were recorded.

#[cfg(test)]
mod examples;
#[cfg(test)]
mod live;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod sharing;
