//! The attributes of memlock.
