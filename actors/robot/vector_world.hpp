// VectorWorld: many worlds stepped together, on all cores. Pure.
//
// Each call hands every world to some thread and returns when all are through. Worlds share nothing that is written, so
// results do not depend on the number of threads. One caller at a time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "actors/robot/world.hpp"

namespace drover::robot {

struct ResetRequest {
  uint64_t seed = 0;
  std::string condition_set = "nominal";
};

class VectorWorld {
 public:
  // threads 0: one per core. Never more than worlds. The caller's thread is one of them.
  explicit VectorWorld(std::vector<std::unique_ptr<World>> worlds, size_t threads = 0);
  ~VectorWorld();
  VectorWorld(const VectorWorld&) = delete;
  VectorWorld& operator=(const VectorWorld&) = delete;

  size_t size() const { return worlds_.size(); }
  size_t threads() const { return workers_.size() + 1; }
  World& world(size_t index) { return *worlds_[index]; }

  // One entry per world. The first error in world order is returned; all worlds were tried.
  Status reset(std::span<const ResetRequest> requests);
  Status step(std::span<const Action> actions);
  // Any work on every world, in parallel; `work` must be safe to call from several threads for different indexes.
  Status for_each(const std::function<Status(size_t, World&)>& work);

 private:
  void take_shares();
  void serve();

  std::vector<std::unique_ptr<World>> worlds_;
  std::vector<Status> results_;
  std::mutex mutex_;
  std::condition_variable wake_, through_;
  const std::function<Status(size_t, World&)>* work_ = nullptr;  // under mutex_
  size_t next_ = 0;                                              // under mutex_
  size_t left_ = 0;                                              // worlds not through, under mutex_
  uint64_t round_ = 0;                                           // under mutex_
  bool stopping_ = false;                                        // under mutex_
  std::vector<std::thread> workers_;
};

}  // namespace drover::robot
