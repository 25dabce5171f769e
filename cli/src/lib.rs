//! The command line of Meridian.
