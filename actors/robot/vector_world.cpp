#include "actors/robot/vector_world.hpp"

#include <algorithm>

namespace drover::robot {

VectorWorld::VectorWorld(std::vector<std::unique_ptr<World>> worlds, size_t threads)
    : worlds_(std::move(worlds)), results_(worlds_.size()) {
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  threads = std::clamp<size_t>(threads, 1, std::max<size_t>(1, worlds_.size()));
  for (size_t i = 1; i < threads; ++i) workers_.emplace_back([this] { serve(); });
}

VectorWorld::~VectorWorld() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

// Takes worlds one by one until none is left; the lock is held only to take and to give back.
// The work is read together with the index: a late thread may find itself in the next round.
void VectorWorld::take_shares() {
  std::unique_lock lock(mutex_);
  while (next_ < worlds_.size()) {
    const size_t index = next_++;
    const auto* work = work_;
    lock.unlock();
    Status result = (*work)(index, *worlds_[index]);
    lock.lock();
    results_[index] = std::move(result);
    if (--left_ == 0) through_.notify_all();
  }
}

void VectorWorld::serve() {
  uint64_t seen = 0;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || round_ != seen; });
      if (stopping_) return;
      seen = round_;
    }
    take_shares();
  }
}

Status VectorWorld::for_each(const std::function<Status(size_t, World&)>& work) {
  if (worlds_.empty()) return {};
  {
    const std::lock_guard lock(mutex_);
    work_ = &work;
    next_ = 0;
    left_ = worlds_.size();
    ++round_;
  }
  wake_.notify_all();
  take_shares();
  std::unique_lock lock(mutex_);
  through_.wait(lock, [this] { return left_ == 0; });
  for (Status& result : results_)
    if (!result) return result;
  return {};
}

Status VectorWorld::reset(std::span<const ResetRequest> requests) {
  if (requests.size() != size()) return fail(Errc::invalid_argument, "vector_world/reset", "one request per world");
  return for_each([&](size_t i, World& world) { return world.reset(requests[i].seed, requests[i].condition_set); });
}

Status VectorWorld::step(std::span<const Action> actions) {
  if (actions.size() != size()) return fail(Errc::invalid_argument, "vector_world/step", "one action per world");
  return for_each([&](size_t i, World& world) { return world.step(actions[i]); });
}

}  // namespace drover::robot
