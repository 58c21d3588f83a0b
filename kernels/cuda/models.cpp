// Models on a CUDA device: see models.hpp.
#include "kernels/cuda/models.hpp"

#include <algorithm>
#include <string>

namespace drover::kernels::cuda {
namespace {

constexpr uint64_t shared_without_asking = 48 * 1024;

// Copy in, run, copy out, as one piece of work.
template <class Enqueue>
class RoundTrip : public Driver::Work {
 public:
  RoundTrip(Driver& driver, Staging& staging, size_t in_bytes, size_t out_bytes, Enqueue enqueue)
      : driver_(driver), staging_(staging), in_bytes_(in_bytes), out_bytes_(out_bytes), enqueue_(enqueue) {}
  Status enqueue(void* stream) override {
    DROVER_TRY(driver_.to_device(staging_.device_in.as<void>(), staging_.host_in.as<void>(), in_bytes_, stream));
    DROVER_TRY(enqueue_(stream));
    return driver_.to_host(staging_.host_out.as<void>(), staging_.device_out.as<void>(), out_bytes_, stream);
  }

 private:
  Driver& driver_;
  Staging& staging_;
  size_t in_bytes_, out_bytes_;
  Enqueue enqueue_;
};

// Host arrays through `staging`; recorded and replayed when `recording` is given.
template <class T, class Enqueue>
Status round_trip(Driver& driver, Staging& staging, std::span<const T> in, std::span<float> out,
                  std::unique_ptr<Driver::Recording>* recording, Enqueue enqueue) {
  std::copy(in.begin(), in.end(), staging.host_in.as<T>());
  RoundTrip<Enqueue> work(driver, staging, in.size_bytes(), out.size_bytes(), enqueue);
  DROVER_TRY(recording != nullptr ? driver.replay(*recording, work) : work.enqueue(nullptr));
  DROVER_TRY(driver.wait(nullptr));
  std::copy_n(staging.host_out.as<const float>(), out.size(), out.begin());
  return {};
}

Status upload(Driver& driver, Memory& memory, const std::vector<std::byte>& blob) {
  DROVER_TRY(memory.reserve(blob.size()));
  DROVER_TRY(driver.to_device(memory.as<void>(), blob.data(), blob.size(), nullptr));
  return driver.wait(nullptr);
}

}  // namespace

Status Memory::reserve(size_t bytes) {
  if (bytes <= bytes_) return {};
  release();
  DROVER_ASSIGN(p_, pinned_ ? driver_->allocate_pinned(bytes) : driver_->allocate(bytes));
  bytes_ = bytes;
  return {};
}

void Memory::release() noexcept {
  if (p_ == nullptr) return;
  pinned_ ? driver_->release_pinned(p_) : driver_->release(p_);
  p_ = nullptr;
  bytes_ = 0;
}

Status Staging::reserve(size_t in_bytes, size_t out_bytes) {
  DROVER_TRY(host_in.reserve(in_bytes));
  DROVER_TRY(host_out.reserve(out_bytes));
  DROVER_TRY(device_in.reserve(in_bytes));
  return device_out.reserve(out_bytes);
}

// ---- ViT ------------------------------------------------------------------------------------------------------------

DeviceVit::DeviceVit(std::shared_ptr<Driver> driver, Element element, const VitArgs& args)
    : driver_(driver),
      element_(element),
      args_(args),
      frame_bytes_(size_t{args.height} * args.width * 3),
      weights_(driver, false),
      keys_(driver, false),
      values_(driver, false),
      normed_(driver, false),
      barriers_(driver, false),
      arena_(driver, false),
      single_(driver),
      batch_(driver) {}

Result<std::unique_ptr<DeviceVit>> DeviceVit::make(std::shared_ptr<Driver> driver, Element element,
                                                   const VitShape& shape, const Weights& weights,
                                                   const FoldedPatch& patch) {
  DROVER_ASSIGN(const PackedVit packed, pack_vit(element, shape, weights, patch));
  std::unique_ptr<DeviceVit> out(new DeviceVit(driver, element, packed.args));
  DROVER_TRY(upload(*driver, out->weights_, packed.blob));
  out->args_.weights = out->weights_.as<const std::byte>();
  DROVER_TRY(out->single_.reserve(out->frame_bytes_, shape.dim * sizeof(float)));
  VitArgs args;
  DROVER_TRY(out->prepare(1, args));  // what does not fit shows now
  return out;
}

// The plan for `batch` frames and the scratch memory that it needs.
Status DeviceVit::prepare(uint32_t batch, VitArgs& args) {
  const DeviceInfo& device = driver_->info();
  DROVER_ASSIGN(const VitPlan plan, plan_vit(element_, args_, device.processors, device.shared_bytes, batch));
  const size_t kv = size_t{plan.slots} * 2 * args_.dim * args_.tokens_padded * element_bytes(element_);
  const size_t normed = size_t{plan.slots} * args_.tokens * args_.dim * sizeof(float);
  const size_t barriers = size_t{plan.slots} * 2 * sizeof(uint32_t);
  const size_t arenas = plan.shared ? 0 : plan.arena_bytes * plan.parts * plan.slots;
  const bool moves = kv > keys_.bytes() || kv > values_.bytes() || normed > normed_.bytes() ||
                     barriers > barriers_.bytes() || arenas > arena_.bytes();
  if (moves) ++scratch_version_;
  DROVER_TRY(keys_.reserve(kv));
  DROVER_TRY(values_.reserve(kv));
  DROVER_TRY(normed_.reserve(normed));
  DROVER_TRY(barriers_.reserve(barriers));
  DROVER_TRY(arena_.reserve(arenas));
  args = args_;
  args.rows = plan.rows;
  args.parts = plan.parts;
  args.slots = plan.slots;
  args.frames = batch;
  args.keys = keys_.as<std::byte>();
  args.values = values_.as<std::byte>();
  args.normed = normed_.as<float>();
  args.barriers = barriers_.as<uint32_t>();
  args.arena = plan.shared ? nullptr : arena_.as<std::byte>();
  args.arena_bytes = plan.arena_bytes;
  return {};
}

Status DeviceVit::enqueue(const uint8_t* rgb, float* out, uint32_t batch, void* stream) {
  VitArgs args;
  DROVER_TRY(prepare(batch, args));
  args.rgb = rgb;
  args.out = out;
  return driver_->start(args, element_, stream);
}

Status DeviceVit::run(std::span<const uint8_t> rgb, std::span<float> out) {
  const std::lock_guard lock(mutex_);
  const auto batch = static_cast<uint32_t>(rgb.size() / frame_bytes_);
  if (batch == 0) return {};
  Staging& staging = batch == 1 ? single_ : batch_;
  DROVER_TRY(staging.reserve(rgb.size_bytes(), out.size_bytes()));
  if (recorded_version_ != scratch_version_) recording_.reset();
  const auto start = [&](void* stream) {
    return enqueue(staging.device_in.as<const uint8_t>(), staging.device_out.as<float>(), batch, stream);
  };
  DROVER_TRY(round_trip(*driver_, staging, rgb, out, batch == 1 ? &recording_ : nullptr, start));
  if (batch == 1) recorded_version_ = scratch_version_;
  return {};
}

// ---- MLP ------------------------------------------------------------------------------------------------------------

DeviceMlp::DeviceMlp(std::shared_ptr<Driver> driver, Element element, const MlpArgs& args)
    : driver_(driver),
      element_(element),
      args_(args),
      weights_(driver, false),
      arena_(driver, false),
      single_(driver),
      batch_(driver) {}

Result<std::unique_ptr<DeviceMlp>> DeviceMlp::make(std::shared_ptr<Driver> driver, Element element,
                                                   const MlpShape& shape, const Weights& weights) {
  const PackedMlp packed = pack_mlp(element, shape, weights);
  std::unique_ptr<DeviceMlp> out(new DeviceMlp(driver, element, packed.args));
  DROVER_TRY(upload(*driver, out->weights_, packed.blob));
  out->args_.weights = out->weights_.as<const std::byte>();
  DROVER_TRY(out->single_.reserve(shape.widths.front() * sizeof(float), shape.widths.back() * sizeof(float)));
  const DeviceInfo& device = driver->info();
  if (packed.args.arena_bytes > std::max(device.shared_bytes, shared_without_asking)) {
    DROVER_TRY(out->arena_.reserve(packed.args.arena_bytes * device.processors));
    out->args_.arena = out->arena_.as<std::byte>();
  }
  return out;
}

Status DeviceMlp::enqueue(const float* observations, float* actions, uint32_t batch, void* stream) {
  MlpArgs args = args_;
  args.rows = batch;
  args.observations = observations;
  args.actions = actions;
  const uint32_t tiles = (batch + mlp_tile_rows - 1) / mlp_tile_rows;
  return driver_->start(args, element_, std::min(tiles, driver_->info().processors), stream);
}

Status DeviceMlp::run(std::span<const float> observations, std::span<float> actions) {
  const std::lock_guard lock(mutex_);
  const auto batch = static_cast<uint32_t>(observations.size() / args_.in);
  if (batch == 0) return {};
  Staging& staging = batch == 1 ? single_ : batch_;
  DROVER_TRY(staging.reserve(observations.size_bytes(), actions.size_bytes()));
  const auto start = [&](void* stream) {
    return enqueue(staging.device_in.as<const float>(), staging.device_out.as<float>(), batch, stream);
  };
  return round_trip(*driver_, staging, observations, actions, batch == 1 ? &recording_ : nullptr, start);
}

// ---- pooling --------------------------------------------------------------------------------------------------------

Status DevicePool::enqueue(const uint8_t* rgb, FrameShape shape, uint32_t frames, bool as_one, float* out,
                           void* stream) {
  const auto in_range = [](uint32_t side) { return side >= 4 && side <= frame_side_max; };
  if (!in_range(shape.height) || !in_range(shape.width)) {
    return fail(Errc::invalid_argument, "pool.shape", "not within 4..16384");
  }
  if (frames == 0 || frames > (1u << 20)) return fail(Errc::invalid_argument, "pool.frames", "not within 1..2^20");
  PoolArgs args;
  args.rgb = rgb;
  args.height = shape.height;
  args.width = shape.width;
  args.frames = frames;
  args.as_one = as_one;
  args.slices = plan_pool(shape.height, shape.width, frames, driver_->info().processors).slices;
  if (as_one || args.slices > 1) {
    DROVER_TRY(sums_.reserve(size_t{as_one ? 1 : frames} * pool_values * sizeof(uint64_t)));
    args.sums = sums_.as<uint64_t>();
  } else {
    args.out = out;
  }
  return driver_->start(args, out, stream);
}

}  // namespace drover::kernels::cuda
