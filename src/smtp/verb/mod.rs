//! What each verb does to a session, one file for each.

mod auth;
mod bdat;
mod data;
mod ehlo;
mod etrn;
mod mail;
mod rcpt;
mod rset;
mod starttls;
