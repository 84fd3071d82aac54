#include "reference.hpp"

#include "core/token.hpp"

#include <fmt/format.h>

namespace dw::test {

std::string Reference::name(JobKey key, const ModelJob& job) {
  return fmt::format(
      "job {} of queue {} (visible {}, finished {}, held {}, token {}:{}, lapsed {}, expiring {}, "
      "decider {}, cancelled {}, "
      "attempts {}, flux {})",
      key.id, key.queue, job.visible, job.finished, job.held, epoch_of(job.token),
      job.token & 0xFFFFFFFF, job.lapsed, job.expiring, job.decider, job.cancelled_under_holder,
      job.attempts, job.flux);
}

void Reference::broken(JobKey key, const ModelJob& job, const std::string& what) {
  throw Violation(what + ": " + name(key, job));
}

void Reference::claimed(JobKey key, Token token, std::int32_t attempt, Micros now,
                        Micros deadline) {
  ModelJob& j = job(key);
  if (token <= last_token) broken(key, j, "a token did not rise");
  last_token = token;
  if (j.gone) return;
  if (!j.visible) broken(key, j, "a job was claimed whose enqueue did not commit");
  if (j.finished) broken(key, j, "a finished job was claimed");
  if (j.flux != kUnknownFlux) {
    if (j.held) broken(key, j, "a job was claimed that somebody holds");
    if (j.decider != kNobody) broken(key, j, "a job was claimed that somebody is deciding");
  }
  if (has_expired(j.expires_at, now)) broken(key, j, "a job was claimed that has expired");
  if (j.due > now)
    broken(key, j, fmt::format("a job was claimed {} us before its time", j.due - now));
  /* A refund in flux may turn out to be a charge; where two callbacks met, also a charge to be a
   * refund. */
  const bool may_differ = (j.flux != kNobody && attempt == j.attempts + 2) ||
                          (j.flux == kUnknownFlux && attempt == j.attempts);
  if (attempt != j.attempts + 1 && !may_differ)
    broken(key, j, fmt::format("attempt {} was claimed", attempt));
  given.emplace_back(key, token);
  j.held = true;
  j.token = token;
  j.attempts = attempt;
  j.deadline = deadline;
  j.lapsed = false;
  j.expiring = false;
  j.decider = kNobody;
  j.flux = kNobody;
}

void Reference::check_turn(JobKey key, Micros now) {
  const ModelJob& j = job(key);
  if (j.gone || j.key == 0) return;
  if (blocked.count({key.queue, j.key}) != 0) broken(key, j, "its key is blocked");
  if (j.ended_at != 0) broken(key, j, "it had to die with its key");
  for (const JobId id : by_key[{key.queue, j.key}]) {
    if (id == key.id) continue;
    const ModelJob& other = job({key.queue, id});
    if (other.gone || !other.visible || other.flux != kNobody) continue;
    if (other.held && !other.finished) broken(key, j, fmt::format("job {} of its key is held", id));
    const bool comes_first = id < key.id && !other.finished && !other.revived && other.published &&
                             other.published_at < j.written_at &&
                             !has_expired(other.expires_at, now);
    if (comes_first) broken(key, j, fmt::format("it has passed job {} of its key", id));
  }
}

bool Reference::dies_with_key(JobKey key, const ModelJob& j) const {
  const auto block = blocked.find({key.queue, j.key});
  return j.ended_at != 0 || (block != blocked.end() && key.id < block->second.up_to);
}

void Reference::followers_ended(QueueId queue, JobId dead) {
  for (auto block = blocked.begin(); block != blocked.end(); ++block) {
    if (block->first.first != queue || block->second.job != dead) continue;
    for (const JobId id : by_key[block->first]) {
      ModelJob& follower = job({queue, id});
      const bool waits = follower.published && follower.published_at < block->second.since &&
                         !follower.finished && !follower.gone && !follower.revived &&
                         follower.decider == kNobody && follower.flux == kNobody;
      if (id > dead && id < block->second.up_to && waits) follower.ended_at = clock;
    }
    blocked.erase(block);
    return;
  }
}

void Reference::undo_claim(ModelJob& j, Token token, bool delivered, Micros now,
                           Micros backoff) const {
  /* Somebody else is deciding it, or the lease has ended otherwise: nothing to undo. */
  if (!holds(j, token) || j.decider != kNobody) return;
  if (delivered && j.attempts >= j.most_attempts) {
    j.lapsed = true;
    return;
  }
  j.held = false;
  j.due = delivered ? now + backoff : now;
  if (!delivered) j.attempts--;
}

void Reference::decision_answered(JobKey key, Token token, int session, Verdict verdict) const {
  const ModelJob& j = jobs.at(key);
  if (j.gone) return;
  const bool valid = holds(j, token);
  switch (verdict) {
    case Verdict::ok:
      if (!valid || j.finished || j.decider != kNobody) broken(key, j, "a decision was accepted");
      return;
    case Verdict::in_doubt:
      if (!valid || j.decider == kNobody) broken(key, j, "a decision was in doubt");
      if (j.decider == session) broken(key, j, "an own decision was in doubt");
      return;
    case Verdict::own_duplicate:
      if (!valid || j.decider != session) broken(key, j, "a decision was a duplicate");
      return;
    case Verdict::cancelled:
      if (!j.cancelled_under_holder || j.token != token)
        broken(key, j, "a decision met a cancelled job");
      return;
    default:
      if (valid && !may_be_swept(j)) broken(key, j, "a holder's decision was refused");
      return;
  }
}

void Reference::cancel_answered(JobKey key, int session, Verdict verdict) const {
  const ModelJob& j = jobs.at(key);
  if (j.gone) return;
  const bool decidable =
      j.visible && !j.finished && j.decider == kNobody && !j.lapsed && !j.expiring;
  switch (verdict) {
    case Verdict::ok:
      if (!decidable) broken(key, j, "a cancel was accepted");
      return;
    case Verdict::cancelled:
      /* Or by this very transaction. */
      if (!j.cancelled_under_holder && j.decider != session)
        broken(key, j, "a cancel found it cancelled");
      return;
    case Verdict::in_doubt:
      /* Also while its enqueue or another cancel is under way, which the reference does not see. */
      if (j.held && decidable && !may_be_swept(j))
        broken(key, j, "a cancel of a held job was in doubt");
      return;
    case Verdict::not_resident:
      if (j.held && !j.finished && !j.cancelled_under_holder)
        broken(key, j, "a held job is not resident");
      if (j.decider == session && !j.purged_on_disk)
        broken(key, j, "a job being decided is not resident");
      return;
    default:
      broken(key, j, "a cancel got an answer that it cannot get");
  }
}

void Reference::change_answered(JobKey key, int session, Verdict verdict) const {
  const ModelJob& j = jobs.at(key);
  if (j.gone) return;
  switch (verdict) {
    case Verdict::ok:
      if (!j.visible || j.finished || j.held || j.decider != kNobody)
        broken(key, j, "a change was accepted");
      return;
    case Verdict::leased:
      if (!j.held || j.finished || j.decider != kNobody) broken(key, j, "a change met a lease");
      return;
    case Verdict::own_duplicate:
      if (j.decider != session) broken(key, j, "a change met an own decision");
      return;
    case Verdict::not_resident:
      if (j.held && !j.finished && !j.cancelled_under_holder)
        broken(key, j, "a held job is not resident");
      if (j.decider == session && !j.purged_on_disk)
        broken(key, j, "a job being decided is not resident");
      return;
    case Verdict::cancelled:
      if (!j.cancelled_under_holder) broken(key, j, "a change found it cancelled");
      return;
    case Verdict::in_doubt:
      if (j.decider == session) broken(key, j, "an own decision was in doubt");
      return;
    default:
      broken(key, j, "a change got an answer that it cannot get");
  }
}

void Reference::extension_answered(JobKey key, Token token, bool extended) const {
  const ModelJob& j = jobs.at(key);
  if (j.gone) return;
  if (!extended && may_be_swept(j)) return;
  if (extended != holds(j, token))
    broken(key, j, extended ? "a lease was extended" : "a lease was not extended");
}

/* Its token is its own, drawn when the sweep took it; claims may have drawn higher ones since. */
void Reference::overdue_expires(const Expiry& expiry, JobKey key, ModelJob& j, Micros wall) {
  if (expiry.token <= j.token) broken(key, j, "a dead letter's token did not rise");
  if (!j.visible) broken(key, j, "a job expires that is not committed");
  if (expiry.reason == Lapse::key_dead) {
    if (!dies_with_key(key, j)) broken(key, j, "a job dies with a key that lives");
  } else if (!has_expired(j.expires_at, wall)) {
    broken(key, j, "a job expires before its time");
  }
  if (expiry.outcome != OutcomeKind::dead_lettered) broken(key, j, "an expired job lives on");
  if (j.flux == kNobody) {
    if (j.held) broken(key, j, "a job expires that somebody holds");
    if (j.decider != kNobody) broken(key, j, "a job expires that somebody is deciding");
    if (expiry.attempt != j.attempts)
      broken(key, j, fmt::format("it expires with {} attempts", expiry.attempt));
  }
  last_token = std::max(last_token, expiry.token);
  j.token = expiry.token;
  j.attempts = expiry.attempt;
  j.held = false;
  j.expiring = true;
  j.dies = true;
  j.decider = kNobody;
  if (j.flux != kNobody) begin_flux(j, key, kUnknownFlux);
}

void Reference::expires(const Expiry& expiry, Micros monotonic, Micros wall) {
  const JobKey key{expiry.queue, expiry.id};
  ModelJob& j = job(key);
  if (j.gone) return;
  if (j.finished) broken(key, j, "a finished job expires");
  if (expiry.reason == Lapse::expired || expiry.reason == Lapse::key_dead)
    return overdue_expires(expiry, key, j, wall);
  if (j.token != expiry.token) broken(key, j, "a lease expires that was another");
  if (j.flux == kNobody) {
    if (!j.held) broken(key, j, "a lease expires that nobody holds");
    if (j.decider != kNobody) broken(key, j, "a lease expires that somebody is deciding");
    if (!j.lapsed && j.deadline > monotonic) broken(key, j, "a lease expires before its deadline");
    if (expiry.attempt != j.attempts)
      broken(key, j, fmt::format("attempt {} expires", expiry.attempt));
  }
  j.attempts = expiry.attempt;
  j.dies = expiry.outcome == OutcomeKind::dead_lettered;
  if (j.dies != (j.attempts >= j.most_attempts))
    broken(key, j, "the end of the attempts is not seen");
  j.held = true;
  j.expiring = true;
  j.decider = kNobody;
  if (j.flux != kNobody) begin_flux(j, key, kUnknownFlux);
}

void Reference::restart() {
  for (auto& [key, block] : blocked) block.taker = kNobody;
  for (auto& [key, j] : jobs) {
    j.held = false;
    j.lapsed = false;
    j.expiring = false;
    j.decider = kNobody;
    j.cancelled_under_holder = false;
    j.flux = kNobody;
    j.taker = kNobody;
    if (j.visible && !j.published) j.published_at = clock;
    j.published = j.visible;
    j.purged_on_disk = false;
    j.attempts = j.logged_attempts;
    j.due = j.logged_due;
  }
}

}  // namespace dw::test
