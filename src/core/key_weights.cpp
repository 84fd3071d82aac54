#include "core/key_weights.hpp"

namespace dw::core {

namespace {

/* Before it is looked again whether there is room. */
constexpr Micros kPause = 10 * kSecond;
constexpr double kMostReadings = 4'000'000'000;

class Collect : public KeyWeightSink {
 public:
  explicit Collect(std::vector<KeyWeight>* out) : out_(out) {}
  void take(const KeyWeight& row) override { out_->push_back(row); }

 private:
  std::vector<KeyWeight>* out_;
};

}  // namespace

/* Fair ones of the database. */
void KeyWeights::list_queues() {
  queues_.clear();
  for (Index i = 0; i < kMostQueues; i++) {
    const Queue& q = dispatcher_->queue(i);
    if (q.state != QueueState::active || q.database != database_ || !q.options.fair) continue;
    const QueueRef ref = dispatcher_->queue_ref(i);
    queues_.push_back(Reading{q.id, ref, dispatcher_->weight_changes(ref)});
  }
}

/* False: it is to be read again. */
bool KeyWeights::apply(const Reading& of) {
  for (const KeyWeight& row : found_) {
    if (row.queue != of.queue) continue;
    const WeightFound answer = dispatcher_->weight_found(of.ref, of.changes, row, reading_);
    if (answer == WeightFound::stale) return false;
    if (answer == WeightFound::no_room) short_of_room_ = true;
  }
  return dispatcher_->drop_other_weights(of.ref, of.changes, reading_) != WeightFound::stale;
}

void KeyWeights::step() {
  const Micros now = dispatcher_->platform().monotonic_now();
  if (!wants_ && (!short_of_room_ || now < not_before_)) return;
  /* Before the snapshot. */
  list_queues();
  found_.clear();
  if (!queues_.empty()) {
    store_->begin();
    Collect sink(&found_);
    store_->scan_key_weights(sink);
    store_->commit();
  }
  wants_ = false;
  short_of_room_ = false;
  /* 0 is that of no reading. Where it begins is drawn, or the first one of a housekeeper would pass
   * for the first one of the housekeeper before. */
  if (reading_ == 0)
    reading_ = static_cast<std::uint32_t>(dispatcher_->platform().random() * kMostReadings);
  if (++reading_ == 0) reading_ = 1;
  for (const Reading& queue : queues_) wants_ = !apply(queue) || wants_;
  not_before_ = wants_ ? now : now + kPause;
}

}  // namespace dw::core
