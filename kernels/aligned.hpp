// AlignedFloats: floats at a 64-byte boundary, as vector loads like them. Internal to kernels/.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

namespace drover::kernels {

class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(size_t size) : data_(allocate(size)), size_(size) {
    if (size > 0) std::memset(data_.get(), 0, size * sizeof(float));
  }

  // At least `size` floats with unspecified content; keeps what it has when that is enough.
  void grow(size_t size) {
    if (size <= size_) return;
    data_.reset();
    size_ = 0;
    data_.reset(allocate(size).release());
    size_ = size;
  }

  float* data() noexcept { return data_.get(); }
  const float* data() const noexcept { return data_.get(); }
  size_t size() const noexcept { return size_; }
  float& operator[](size_t i) noexcept { return data_.get()[i]; }
  float operator[](size_t i) const noexcept { return data_.get()[i]; }

 private:
  static constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(float* p) const noexcept { ::operator delete(p, alignment); }
  };
  using Owner = std::unique_ptr<float, Free>;
  static Owner allocate(size_t size) {
    if (size == 0) return Owner();
    return Owner(static_cast<float*>(::operator new(size * sizeof(float), alignment)));
  }

  Owner data_;
  size_t size_ = 0;
};

}  // namespace drover::kernels
