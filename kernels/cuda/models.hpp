// Models on a CUDA device: weights uploaded once, host arrays or device arrays in and out.
//
// run() takes host arrays, waits, and serves callers one after the other. enqueue() takes device arrays, starts on the
// caller's stream and returns; the caller keeps the arrays until the stream is done, and lets one model work on one
// stream at a time (it has one set of scratch memory).
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "kernels/cuda/driver.hpp"
#include "kernels/cuda/pack.hpp"
#include "kernels/pool.hpp"

namespace drover::kernels::cuda {

// Memory of a driver, device or pinned; grows, never shrinks.
class Memory {
 public:
  Memory(std::shared_ptr<Driver> driver, bool pinned) : driver_(std::move(driver)), pinned_(pinned) {}
  ~Memory() { release(); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  // At least this many bytes; when it has to grow the content becomes zero (pinned: unspecified).
  Status reserve(size_t bytes);
  template <class T>
  T* as() const noexcept {
    return static_cast<T*>(p_);
  }
  size_t bytes() const noexcept { return bytes_; }

 private:
  void release() noexcept;

  std::shared_ptr<Driver> driver_;
  bool pinned_;
  void* p_ = nullptr;
  size_t bytes_ = 0;
};

// Input and output of host calls: pinned on this side, plain on the device's.
struct Staging {
  explicit Staging(const std::shared_ptr<Driver>& driver)
      : host_in(driver, true), host_out(driver, true), device_in(driver, false), device_out(driver, false) {}
  Status reserve(size_t in_bytes, size_t out_bytes);

  Memory host_in, host_out, device_in, device_out;
};

class DeviceVit {
 public:
  // As pack_vit and plan_vit; too_large when the device's memory does not do.
  static Result<std::unique_ptr<DeviceVit>> make(std::shared_ptr<Driver> driver, Element element, const VitShape& shape,
                                                 const Weights& weights, const FoldedPatch& patch);

  // rgb [batch, height, width, 3] -> out [batch, dim]; sizes were checked by the caller.
  Status run(std::span<const uint8_t> rgb, std::span<float> out);
  // The same for device memory; `rgb` at a multiple of 4 bytes. `batch` > 0.
  Status enqueue(const uint8_t* rgb, float* out, uint32_t batch, void* stream);

  const VitArgs& args() const noexcept { return args_; }

 private:
  DeviceVit(std::shared_ptr<Driver> driver, Element element, const VitArgs& args);
  Status prepare(uint32_t batch, VitArgs& args);

  std::shared_ptr<Driver> driver_;
  Element element_;
  VitArgs args_;
  size_t frame_bytes_;
  Memory weights_, keys_, values_, normed_, barriers_, arena_;
  std::mutex mutex_;
  Staging single_, batch_;
  std::unique_ptr<Driver::Recording> recording_;  // of one frame through single_
  size_t scratch_version_ = 0;                    // raised when scratch moves: older recordings point at freed memory
  size_t recorded_version_ = 0;
};

class DeviceMlp {
 public:
  static Result<std::unique_ptr<DeviceMlp>> make(std::shared_ptr<Driver> driver, Element element, const MlpShape& shape,
                                                 const Weights& weights);
  // observations [batch, in] -> actions [batch, out]; sizes were checked by the caller.
  Status run(std::span<const float> observations, std::span<float> actions);
  Status enqueue(const float* observations, float* actions, uint32_t batch, void* stream);

 private:
  DeviceMlp(std::shared_ptr<Driver> driver, Element element, const MlpArgs& args);

  std::shared_ptr<Driver> driver_;
  Element element_;
  MlpArgs args_;
  Memory weights_, arena_;
  std::mutex mutex_;
  Staging single_, batch_;
  std::unique_ptr<Driver::Recording> recording_;
};

// deterministic_pool_v1 of frames that are in device memory already: for frames in host memory the CPU is faster than
// the way to the device. The bits are the CPU's.
class DevicePool {
 public:
  explicit DevicePool(std::shared_ptr<Driver> driver) : driver_(driver), sums_(driver, false) {}
  // rgb [frames, height, width, 3] at a multiple of 16 bytes -> out [frames, 64], or [64] when all are pooled as one.
  // Sizes as pool.hpp has them, 1..2^20 frames; invalid_argument otherwise.
  Status enqueue(const uint8_t* rgb, FrameShape shape, uint32_t frames, bool as_one, float* out, void* stream);

 private:
  std::shared_ptr<Driver> driver_;
  Memory sums_;
};

}  // namespace drover::kernels::cuda
