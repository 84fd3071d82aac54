/*
 * What a housekeeper could not do, as health() shows it: one place for each of its phases in shared
 * memory. The log has every failure; this says which of them last, since when and how often.
 *
 * Written by the housekeeper of that database slot, read by anybody, both under kControlLock. A
 * phase that succeeds again empties its place; a housekeeper that takes charge of a new slot
 * empties all of them, and one that takes over keeps that of the start, which it empties once it
 * has started.
 */
#pragma once

#include "core/layout.hpp"

#include "pg/headers.hpp"

namespace dw::runtime {

/* Phases of the housekeeper that can fail by themselves. */
enum class Duty : uint8 {
  start,
  catalog,
  prepared,
  load,
  count,
  sweep,
  redrive,
  rotate,
  prune,
  summary,
  announce,
  workers
};
constexpr uint32 kDuties = static_cast<uint32>(Duty::workers) + 1;

/* What it is for, as people are told. */
constexpr const char* words_of(Duty duty) {
  switch (duty) {
    case Duty::start:
      return "starting";
    case Duty::catalog:
      return "reading the queues";
    case Duty::prepared:
      return "finishing prepared transactions";
    case Duty::load:
      return "loading jobs";
    case Duty::count:
      return "counting jobs";
    case Duty::sweep:
      return "ending leases";
    case Duty::redrive:
      return "redriving dead letters";
    case Duty::rotate:
      return "following and emptying the log's segments";
    case Duty::prune:
      return "removing what is past its time";
    case Duty::summary:
      return "summarising indexes";
    case Duty::announce:
      return "sending notifications";
    case Duty::workers:
      return "following registered workers";
  }
  return "";
}

struct Trouble {
  uint32 count;      /* failures in a row; 0: none, the rest is unset */
  int sqlstate;      /* packed */
  TimestampTz since; /* the first of them */
  TimestampTz last;
  char message[160];
};

/* The error that a step of this process has ended with; note_trouble() shows it. */
void remember_error(int sqlstate, const char* message);

/* Another failure in a row, and the end of them. Never fail. */
void note_trouble(core::Index database, Duty duty);
void end_trouble(core::Index database, Duty duty);
/* A housekeeper takes charge; anew: of a slot that none has had. */
void reset_troubles(core::Index database, bool anew);

/* False: that phase is not in trouble. */
bool see_trouble(core::Index database, Duty duty, Trouble* out);

}  // namespace dw::runtime
