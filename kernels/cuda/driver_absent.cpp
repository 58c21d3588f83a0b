// open_device for a build without CUDA.
#include "kernels/cuda/driver.hpp"

namespace drover::kernels::cuda {

Result<std::shared_ptr<Driver>> open_device() {
  return fail(Errc::unavailable, "cuda", "this build has no CUDA kernels");
}

}  // namespace drover::kernels::cuda
