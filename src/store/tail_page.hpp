// Which page the next rows of an append-only table go to.
#pragma once

#include "pg/headers.hpp"

namespace dw::store {

// A process leaves its page when that is more than so many pages behind the end; so rows may still
// come to the last that many pages.
constexpr BlockNumber kFarBehind = 64;

// Aims the table's next insert at a page near its end that has room for a row of this size, and
// adds one if there is none. `tail` is the highest page known to hold rows, in shared memory.
void aim_at_tail(Relation table, uint32* tail, Size row_size);

// To be called with the page that rows went to.
void raise_tail(uint32* tail, BlockNumber block);

}  // namespace dw::store
