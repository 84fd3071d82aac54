#include "core/known_slots.hpp"

#include <algorithm>

namespace dw::core {

SlotStanding judge_slot(const SlotFacts (&slots)[kSegments], std::uint8_t segment, bool at_start) {
  const SlotFacts& slot = slots[segment];
  const auto has_row = [](const SlotFacts& s) { return s.first != kNever; };
  const auto rows = std::count_if(slots, slots + kSegments, has_row);
  if (has_row(slot)) {
    const bool is_last = std::none_of(slots, slots + kSegments, [&](const SlotFacts& s) {
      return has_row(s) && s.first > slot.first;
    });
    return at_start && is_last && rows > 1 && !slot.has_jobs ? SlotStanding::only_announced
                                                             : SlotStanding::in_use;
  }
  /* The first segment of a new database has no row until it is followed by another. */
  if (!slot.has_jobs || (segment == 0 && rows == 0)) return SlotStanding::unused;
  return SlotStanding::without_row;
}

}  // namespace dw::core
