// Driver: the little that models need of a CUDA device. Internal to kernels/.
//
// Two make one: the real device, and a test's emulation in host memory (tests/kernels/emulated_driver.hpp), so that
// what surrounds the kernels runs on machines without a GPU too.
//
// Contract: `stream` is a cudaStream_t; null means stream(). Work on one stream runs in order and all calls that take
// one may return before it is done; wait() reports what went wrong. Any thread may call.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "kernels/cuda/launch.hpp"
#include "messages/result.hpp"

namespace drover::kernels::cuda {

struct DeviceInfo {
  std::string name;
  uint32_t processors = 0;    // streaming multiprocessors
  uint64_t shared_bytes = 0;  // the most that one block may have
  uint64_t memory_bytes = 0;
};

class Driver {
 public:
  // Work recorded once and started again as a whole.
  class Recording {
   public:
    virtual ~Recording() = default;
  };
  // Enqueues the work to record on `stream`.
  class Work {
   public:
    virtual ~Work() = default;
    virtual Status enqueue(void* stream) = 0;
  };

  virtual ~Driver() = default;
  virtual const DeviceInfo& info() const noexcept = 0;
  virtual void* stream() const noexcept = 0;

  // Zeroed. too_large when the device has not that much.
  virtual Result<void*> allocate(size_t bytes) = 0;
  virtual void release(void* p) noexcept = 0;
  // Host memory from which copies need no detour.
  virtual Result<void*> allocate_pinned(size_t bytes) = 0;
  virtual void release_pinned(void* p) noexcept = 0;

  virtual Status to_device(void* to, const void* from, size_t bytes, void* stream) = 0;
  virtual Status to_host(void* to, const void* from, size_t bytes, void* stream) = 0;
  virtual Status copy(void* to, const void* from, size_t bytes, void* stream) = 0;  // both on the device
  virtual Status wait(void* stream) = 0;

  virtual Status start(const VitArgs& args, Element element, void* stream) = 0;
  virtual Status start(const MlpArgs& args, Element element, uint32_t blocks, void* stream) = 0;
  virtual Status start(const PoolArgs& args, float* out, void* stream) = 0;

  // Starts `work` as a recording; makes that one first when `recording` is null. A device that cannot record runs it.
  virtual Status replay(std::unique_ptr<Recording>& recording, Work& work) = 0;

  // Enqueues `work` that many times on stream(), waits, and gives the device's time for one, in seconds.
  virtual Result<double> timed(Work& work, uint32_t times) = 0;
};

// The first CUDA device. unavailable with one line that says why there is none: no CUDA kernels in this build, no
// driver, a driver that is too old, no device, a device older than compute capability 8.0.
Result<std::shared_ptr<Driver>> open_device();

}  // namespace drover::kernels::cuda
