//! RFC 5321: the Simple Mail Transfer Protocol.

mod section_2_3_8;
mod section_3_3;
mod section_3_5;
mod section_3_6_1;
mod section_3_8;
mod section_4_1_1_1;
mod section_4_1_1_11;
mod section_4_1_1_2;
mod section_4_1_1_3;
mod section_4_1_1_4;
mod section_4_1_1_5;
mod section_4_1_2;
mod section_4_1_4;
mod section_4_2;
mod section_4_3_1;
mod section_4_4;
mod section_4_5_1;
mod section_4_5_2;
mod section_4_5_3;
mod section_6_3;
mod section_7;
