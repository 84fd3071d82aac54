#include "core/rotation.hpp"

#include <algorithm>

namespace dw::core {

namespace {

constexpr Micros kLongestLook = 5 * kSecond;
constexpr Micros kShortestLook = 50 * kMillisecond;
constexpr Micros kFirstPause = 50 * kMillisecond;
/* Blocks of ids between those given and those of a new segment. */
constexpr std::uint32_t kAhead = 16;
constexpr std::uint32_t kMostAhead = 65536;
/* Unfinished jobs that are moved: so many, and one of so many. */
constexpr std::int64_t kFewJobs = 1000;
constexpr std::int64_t kFewOfAll = 16;
constexpr std::int64_t kFewWhenPressed = 4;
constexpr std::size_t kMovedAtOnce = 100;

SegmentHold held_by(Hold reason) { return SegmentHold{reason, 0, 0, 0, 0, 0, 0}; }

SegmentHold held_by_process(Hold reason, std::int32_t pid) {
  return SegmentHold{reason, 0, 0, 0, pid, 0, 0};
}

SegmentHold held_by_jobs(Hold reason, const Straggler& oldest, std::int64_t jobs) {
  return SegmentHold{reason, oldest.queue, oldest.id, jobs, 0, 0, 0};
}

}  // namespace

void Rotation::hold(std::uint8_t segment, const SegmentHold& why) {
  dispatcher_->note_hold(database_, segment, why);
}

/* Longer each time: what holds a segment mostly goes on doing so. */
void Rotation::pause(Known& known, Micros longest) {
  known.not_before = now() + std::min(kFirstPause << std::min(known.looked, 20U), longest);
  known.looked++;
}

std::uint8_t Rotation::free_segments() const {
  std::uint8_t segments[kSegments];
  return static_cast<std::uint8_t>(kSegments - dispatcher_->segments_in_order(database_, segments));
}

Micros Rotation::shortest_retention() const {
  Micros shortest = kNever;
  for (const QueueKeep& queue : queues_) shortest = std::min(shortest, queue.retention);
  return queues_.empty() ? 0 : shortest;
}

void Rotation::set_queues(const QueueKeep* queues, std::size_t n) {
  const bool same = n == queues_.size() && std::equal(queues, queues + n, queues_.begin(),
                                                      [](const QueueKeep& a, const QueueKeep& b) {
                                                        return a.id == b.id && a.topic == b.topic;
                                                      });
  queues_.assign(queues, queues + n);
  if (same) return;
  checking_ = false;
  for (Known& known : known_) {
    const std::optional<Micros> quiet_since = known.quiet_since;
    known = Known{};
    known.quiet_since = quiet_since;
  }
}

/* The queue that keeps it longest. One that was dropped keeps nothing. */
Micros Rotation::kept_until(const Known& known, QueueId* queue) const {
  Micros until = kAlways;
  for (const QueueKeep& keep : queues_) {
    const auto end = known.ends.find(keep.id);
    if (end == known.ends.end()) continue;
    const Micros its =
        keep.retention > kNever - end->second ? kNever : end->second + keep.retention;
    if (its <= until) continue;
    until = its;
    *queue = keep.id;
  }
  return until;
}

/* A segment that a restore fills past the engine must not be taken for one that is full: rows of
 * the table of segments come later than the jobs. */
bool Rotation::anything_was_enqueued() const {
  return std::any_of(queues_.begin(), queues_.end(), [this](const QueueKeep& keep) {
    const Index index = dispatcher_->find_queue(database_, keep.id);
    return index != kNone && dispatcher_->arena().queues[index].counters.enqueued > 0;
  });
}

void Rotation::follow_current() {
  const std::uint8_t current = dispatcher_->arena().databases[database_].current_segment.load();
  if (current == kParkedSegment || !anything_was_enqueued()) return;
  const SegmentFacts facts = log_->facts(current);
  if (facts.job_pages == 0) return;
  if (facts.bytes < settings_.max_size && wall() - facts.opened_at < settings_.max_age) return;
  for (std::uint8_t i = 1; i < kSegments; i++) {
    const auto next = static_cast<std::uint8_t>((current + i) % kSegments);
    if (dispatcher_->arena().databases[database_].segment_state[next].load() != SegmentState::empty)
      continue;
    JobId first = 0;
    bool opened = false;
    /* So many ids may be drawn meanwhile that some lie behind the first one: then once more, with
     * more distance. */
    for (std::uint32_t ahead = kAhead; ahead <= kMostAhead && !opened; ahead *= 4) {
      first = log_->begin(next, ahead);
      if (first == 0) break;
      opened = dispatcher_->open_segment(database_, next, first);
    }
    if (!opened) continue;
    known_[current] = Known{};
    hold(current, held_by(Hold::none));
    log_->skip_ids(first);
    return;
  }
  hold(current, held_by(Hold::no_free_segment));
}

bool Rotation::wait_for_writers(std::uint8_t segment) {
  Known& known = known_[segment];
  std::int32_t pid = 0;
  if (!log_->make_quiet(segment, &pid)) {
    hold(segment, held_by_process(Hold::writers, pid));
    pause(known, kSecond);
    return false;
  }
  known = Known{};
  known.quiet_since = now();
  hold(segment, held_by(Hold::not_checked));
  return true;
}

/*
 * Reading a segment takes seconds. It is done when memory says that nothing of it is unfinished, or
 * when it is old enough for what is left to be moved.
 */
bool Rotation::is_worth_checking(std::uint8_t segment) {
  Known& known = known_[segment];
  if (!known.quiet_since) known.quiet_since = now();
  const auto few = static_cast<std::uint32_t>(kFewJobs) + log_->facts(segment).job_pages * 2;
  Straggler oldest{};
  const std::uint32_t residents = dispatcher_->residents_of(database_, segment, few, &oldest);
  const bool on_disk = loader_->has_pages(segment, true);
  if (residents == 0 && !on_disk) return true;
  /* Before that nothing is gained, and most of what is left finishes by itself. */
  const Micros least = std::max(shortest_retention(), std::min(settings_.max_age, Micros{kMinute}));
  const bool old = now() - *known.quiet_since >= least;
  const bool unread = loader_->has_pages(segment, false) && !is_pressed();
  if (old && residents <= few && !unread) return true;
  if (residents > 0)
    hold(segment, held_by_jobs(Hold::jobs, oldest, residents));
  else
    hold(segment, held_by(Hold::loading));
  pause(known, 10 * kSecond);
  return false;
}

void Rotation::end_check() {
  checking_ = false;
  Known& known = known_[check_.segment()];
  known.ends = check_.last_ends();
  const std::int64_t few = kFewJobs + check_.jobs() / (is_pressed() ? kFewWhenPressed : kFewOfAll);
  if (check_.unfinished() > few || !check_.all_listed()) {
    hold(check_.segment(),
         held_by_jobs(Hold::jobs,
                      check_.stragglers().empty() ? Straggler{} : check_.stragglers().front(),
                      check_.unfinished()));
    known.looked = std::max(known.looked, 8U);
    pause(known, 600 * kSecond);
    return;
  }
  known.checked = true;
  known.looked = 0;
  known.left.swap(check_.stragglers());
  check_.stragglers().clear();
  known.next = 0;
}

void Rotation::take_results(Known& known, std::size_t n, const Relocation* results) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < n; i++) {
    const Straggler& job = known.left[known.next + i];
    if (results[i] == Relocation::finished) known.ends[job.queue] = wall();
    if (results[i] == Relocation::held || results[i] == Relocation::no_room)
      known.left[known.next + kept++] = job;
  }
  const auto from = known.left.begin() + static_cast<std::ptrdiff_t>(known.next);
  known.left.erase(from + static_cast<std::ptrdiff_t>(kept), from + static_cast<std::ptrdiff_t>(n));
  known.next += kept;
}

/* The finished part is kept first; what else is unfinished may finish meanwhile. */
bool Rotation::move_some(std::uint8_t segment) {
  Known& known = known_[segment];
  QueueId queue = 0;
  const Micros until = kept_until(known, &queue);
  if (until > wall()) {
    SegmentHold why = held_by_jobs(Hold::retention, known.left.front(),
                                   static_cast<std::int64_t>(known.left.size()));
    why.queue = queue;
    why.until = until;
    hold(segment, why);
    known.not_before = now() + std::min(until - wall(), 10 * kSecond);
    return false;
  }
  Relocation results[kMovedAtOnce];
  const std::size_t n = std::min(kMovedAtOnce, known.left.size() - known.next);
  log_->relocate(segment, known.left.data() + known.next, n, results);
  take_results(known, n, results);
  if (known.left.empty()) return true;
  hold(segment, held_by_jobs(Hold::stragglers, known.left.front(),
                             static_cast<std::int64_t>(known.left.size())));
  if (known.next < known.left.size()) return true;
  known.next = 0;
  pause(known, 10 * kSecond);
  return false;
}

bool Rotation::empty(std::uint8_t segment, bool counting) {
  Known& known = known_[segment];
  if (!known.done) {
    known.done = log_->now_in_transactions();
    known.done_at = now();
    known.looked = 0;
  }
  QueueId queue = 0;
  const Micros until = kept_until(known, &queue);
  if (until > wall()) {
    hold(segment, SegmentHold{Hold::retention, queue, 0, 0, 0, until, 0});
    known.not_before = now() + std::min(until - wall(), 10 * kSecond);
    return false;
  }
  std::int32_t pid = 0;
  if (now() - known.done_at < settings_.grace && !log_->all_snapshots_behind(*known.done, &pid)) {
    hold(segment, held_by_process(Hold::snapshot, pid));
    pause(known, 5 * kSecond);
    return false;
  }
  if (counting) {
    hold(segment, held_by(Hold::counting));
    pause(known, kSecond);
    return false;
  }
  if (!log_->empty(segment, &pid)) {
    hold(segment, held_by_process(Hold::lock, pid));
    pause(known, 5 * kSecond);
    return false;
  }
  loader_->forget_segment(segment);
  known = Known{};
  return true;
}

bool Rotation::work_on(std::uint8_t segment, bool counting) {
  Known& known = known_[segment];
  if (now() < known.not_before) return false;
  const SegmentState state =
      dispatcher_->arena().databases[database_].segment_state[segment].load();
  if (state == SegmentState::open && !wait_for_writers(segment)) return false;
  /* Its end is not followed by callbacks: what it wrote is dealt with a moment later. */
  if (dispatcher_->is_watched(database_, segment)) {
    hold(segment, held_by(Hold::prepared));
    pause(known, kSecond);
    return false;
  }
  if (!known.checked) {
    if (!is_worth_checking(segment)) return false;
    hold(segment, held_by(Hold::not_checked));
    check_.begin(segment, queues_, log_->last_topic());
    checking_ = true;
    return true;
  }
  return known.left.empty() ? empty(segment, counting) : move_some(segment);
}

bool Rotation::step(Micros budget, bool counting, bool arriving) {
  if (arriving) checking_ = false;
  if (checking_) {
    if (check_.step(*store_, dispatcher_->platform(), budget)) end_check();
    return true;
  }
  if (now() < next_look_) return false;
  next_look_ = now() + std::clamp(settings_.max_age / 8, kShortestLook, kLongestLook);
  follow_current();
  if (arriving) return false;
  std::uint8_t segments[kSegments];
  const std::uint8_t n = dispatcher_->segments_in_order(database_, segments);
  /* The last one is the current one. */
  for (std::uint8_t i = 0; i + 1 < n; i++) {
    if (!work_on(segments[i], counting)) {
      next_look_ = std::min(next_look_, std::max(known_[segments[i]].not_before, now() + 1));
      continue;
    }
    next_look_ = now();
    return true;
  }
  return false;
}

}  // namespace dw::core
