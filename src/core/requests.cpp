/*
 * Claims that may be asked for again: a lost reply is answered with the same batch.
 *
 * A request is known by a hash of who asks (database, worker, instance), for what (the queues) and
 * the id that the client gave. It remembers no jobs, only the tokens that were handed out, which
 * are a block of consecutive numbers because they are drawn in one go under the queue's lock; a
 * claim from several queues makes one request for each that gave something, all with one key. A
 * repetition lists those of the worker's leases whose tokens lie in the blocks: what was completed,
 * cancelled or has expired since is simply not there any more.
 *
 *   begin_request -> open (this transaction's) -> settled by its commit -> forgotten
 *                      \-> forgotten by its abort, or when nothing was handed out
 *
 * While it is open others wait for the transaction: nobody can know yet whether there is a batch.
 * A settled request is remembered while a lease of it is held, and until the first deadline has
 * passed. Requests of which no lease is held any more queue up in the order in which that became
 * so, and the one in front is given up when another needs its place: whoever finished the jobs had
 * got them. So a full table means that leases are held of every request in it.
 *
 * Everything here is under kRequestsLock. The block is noted under the lock of its queue as well,
 * right after the hand-out, and a lease ends under that lock too: no end can be missed.
 */
#include "core/queue_lock.hpp"

namespace dw::core {

namespace {

bool same_key(const Request& request, const RequestKey& key) noexcept {
  return request.key[0] == key.words[0] && request.key[1] == key.words[1];
}

bool in_block(const Request& request, Token token) noexcept {
  return token >= request.first && token - request.first < request.count;
}

bool is_open_elsewhere(const Request& request, RequestOwner self) noexcept {
  return request.process != kSettled &&
         (request.process != self.process || request.transaction != self.transaction);
}

}  // namespace

ShortIndex* Dispatcher::request_bucket(std::uint64_t word) const noexcept {
  return &arena_->request_buckets[word & arena_->request_mask];
}

void Dispatcher::append_finished(Index number) noexcept {
  Request& request = arena_->requests[number];
  request.next = kNone;
  request.previous = arena_->last_finished_request;
  if (request.previous != kNone) {
    arena_->requests[request.previous].next = number;
  } else {
    arena_->first_finished_request = number;
  }
  arena_->last_finished_request = number;
}

/* Off the list it is on: its worker's, or the finished ones'. */
void Dispatcher::unlink_request(Index number) noexcept {
  const Request& request = arena_->requests[number];
  const bool finished = request.held == 0;
  if (finished && (request.process != kSettled || request.count == 0)) return; /* on none */
  if (request.next != kNone) {
    arena_->requests[request.next].previous = request.previous;
  } else if (finished) {
    arena_->last_finished_request = request.previous;
  }
  if (request.previous != kNone) {
    arena_->requests[request.previous].next = request.next;
  } else if (finished) {
    arena_->first_finished_request = request.next;
  } else {
    arena_->workers[request.worker].first_request.store(request.next, std::memory_order_relaxed);
  }
}

void Dispatcher::free_request(Index number) noexcept {
  unlink_request(number);
  Request& request = arena_->requests[number];
  ShortIndex* link = request_bucket(request.key[0]);
  while (*link != number) link = &arena_->requests[*link].next_in_bucket;
  *link = request.next_in_bucket;
  request.incarnation++;
  request.count = 0;
  request.held = 0;
  request.next_in_bucket = arena_->first_free_request;
  arena_->first_free_request = number;
}

RequestRef Dispatcher::make_request(const RequestKey& key, RequestOwner owner) noexcept {
  if (arena_->first_free_request == kNone && arena_->first_finished_request != kNone)
    free_request(arena_->first_finished_request);
  const Index number = arena_->first_free_request;
  if (number == kNone) return RequestRef{kNone, 0};
  Request& request = arena_->requests[number];
  arena_->first_free_request = request.next_in_bucket;
  request.key[0] = key.words[0];
  request.key[1] = key.words[1];
  request.count = 0;
  request.held = 0;
  request.process = owner.process;
  request.transaction = owner.transaction;
  ShortIndex* const head = request_bucket(key.words[0]);
  request.next_in_bucket = *head;
  *head = number;
  return RequestRef{number, request.incarnation};
}

RequestStanding Dispatcher::begin_request(const RequestKey& key, RequestOwner self, RequestRef* out,
                                          RequestOwner* other) noexcept {
  const Micros now = platform_->monotonic_now();
  const LeafLock leaf(*platform_, kRequestsLock);
  bool known = false;
  for (Index number = *request_bucket(key.words[0]); number != kNone;) {
    const Request& request = arena_->requests[number];
    const Index next = request.next_in_bucket;
    if (same_key(request, key)) {
      if (is_open_elsewhere(request, self)) {
        *other = RequestOwner{request.process, request.transaction};
        return RequestStanding::open_elsewhere;
      }
      if (request.process == kSettled && request.held == 0 && request.until <= now) {
        free_request(number);
      } else {
        known = true;
      }
    }
    number = next;
  }
  if (known) return RequestStanding::known;
  *out = make_request(key, self);
  return out->request != kNone ? RequestStanding::fresh : RequestStanding::no_room;
}

RequestRef Dispatcher::add_request(RequestRef like) noexcept {
  const LeafLock leaf(*platform_, kRequestsLock);
  const Request& first = arena_->requests[like.request];
  return make_request(RequestKey{{first.key[0], first.key[1]}},
                      RequestOwner{first.process, first.transaction});
}

/* Under the lock of the queue that the jobs are from. */
void Dispatcher::note_block(RequestRef ref, WorkerRef worker, Token first, std::uint32_t count,
                            Micros until) noexcept {
  const LeafLock leaf(*platform_, kRequestsLock);
  Request& request = arena_->requests[ref.request];
  if (request.incarnation != ref.incarnation) return;
  request.first = first;
  request.count = count;
  request.held = count;
  request.until = until;
  request.worker = static_cast<std::uint16_t>(worker.worker);
  request.worker_incarnation = worker.incarnation;
  std::atomic<Index>& head = arena_->workers[worker.worker].first_request;
  request.previous = kNone;
  request.next = head.load(std::memory_order_relaxed);
  if (request.next != kNone) arena_->requests[request.next].previous = ref.request;
  head.store(ref.request, std::memory_order_relaxed);
}

/* Under the lock of the queue of the lease that ends. */
void Dispatcher::leave_request(Index worker, Token token) noexcept {
  const std::atomic<Index>& head = arena_->workers[worker].first_request;
  /* Who handed this lease out held the same queue's lock, so if it has a request it is seen. */
  if (head.load(std::memory_order_relaxed) == kNone) return;
  const LeafLock leaf(*platform_, kRequestsLock);
  for (Index number = head.load(std::memory_order_relaxed); number != kNone;
       number = arena_->requests[number].next) {
    Request& request = arena_->requests[number];
    if (!in_block(request, token)) continue;
    if (request.held > 1) {
      request.held--;
      return;
    }
    unlink_request(number);
    request.held = 0;
    if (request.process == kSettled) append_finished(number);
    return;
  }
}

void Dispatcher::settle_request(RequestRef ref) noexcept {
  const LeafLock leaf(*platform_, kRequestsLock);
  Request& request = arena_->requests[ref.request];
  if (request.incarnation != ref.incarnation || request.process == kSettled) return;
  if (request.count == 0) {
    free_request(ref.request);
    return;
  }
  request.process = kSettled;
  if (request.held == 0) append_finished(ref.request);
}

void Dispatcher::forget_request(RequestRef ref) noexcept {
  const LeafLock leaf(*platform_, kRequestsLock);
  if (arena_->requests[ref.request].incarnation == ref.incarnation) free_request(ref.request);
}

std::uint32_t Dispatcher::request_leases(const RequestKey& key, LeaseRef* out,
                                         std::uint32_t n) noexcept {
  Request blocks[kMostWaitedQueues];
  std::uint32_t count = 0;
  {
    const LeafLock leaf(*platform_, kRequestsLock);
    for (Index number = *request_bucket(key.words[0]); number != kNone && count < kMostWaitedQueues;
         number = arena_->requests[number].next_in_bucket) {
      const Request& request = arena_->requests[number];
      if (same_key(request, key) && request.held > 0) blocks[count++] = request;
    }
  }
  if (count == 0) return 0;
  /* All are of one worker. */
  const LeafLock leaf(*platform_, kWorkersLock);
  const Worker& worker = arena_->workers[blocks[0].worker];
  if (worker.incarnation != blocks[0].worker_incarnation) return 0;
  std::uint32_t found = 0;
  for (Index i = worker.first_lease; i != kNone && found < n; i = entry(i).next_of_worker) {
    const Entry& e = entry(i);
    bool listed = false;
    for (std::uint32_t k = 0; k < count && !listed; k++) listed = in_block(blocks[k], e.token);
    if (listed) out[found++] = LeaseRef{EntryRef{i, e.incarnation}, e.token};
  }
  return found;
}

bool Dispatcher::see_claimed(LeaseRef lease, ClaimedJob* out) noexcept {
  Index index = kNone;
  Entry* e = lock_ref(lease.ref, &index);
  if (e == nullptr) return false;
  const QueueLock hold(*this, index, QueueLock::Adopt{});
  if (e->state != EntryState::leased || e->token != lease.token || e->lapsed != Lapse::none)
    return false;
  const Micros wall = platform_->wall_now();
  const Micros monotonic = platform_->monotonic_now();
  if (e->at <= monotonic) return false; /* run out, and about to be taken back */
  const Micros left = e->at - monotonic;
  *out = ClaimedJob{lease.ref,   e->id,     e->token,   left > kNever - wall ? kNever : wall + left,
                    e->block,    e->offset, e->segment, e->priority,
                    e->attempts, e->queue};
  return true;
}

}  // namespace dw::core
