// OffscreenGl: one OpenGL context without a window or a surface, by EGL. Knows nothing of MuJoCo.
//
// EGL is loaded when the first context is made, never before: a program that draws nothing pays nothing and starts
// without any graphics library. What EGL loads stays loaded until the process ends.
// Software rasterisers lock one another out within a display, so contexts are spread over the displays there are
// (the surfaceless platform and the first device): two worlds then draw twice as fast as one on two cores.
// Threads: make() from any; a context is current on one thread at a time, not always the same.
#pragma once

#include <memory>
#include <string>

#include "messages/result.hpp"

namespace drover::robot {

class OffscreenGl {
 public:
  // Errors: unavailable, with the library, driver or ability that is missing.
  static Result<std::unique_ptr<OffscreenGl>> make();
  ~OffscreenGl();
  OffscreenGl(const OffscreenGl&) = delete;
  OffscreenGl& operator=(const OffscreenGl&) = delete;

  // Makes it current on this thread, or none. Errors: unavailable (the driver refuses).
  Status bind();
  void release();
  // For example "llvmpipe (LLVM 15.0.6, 256 bits)".
  const std::string& renderer() const { return renderer_; }

 private:
  OffscreenGl() = default;
  Status check_abilities();

  void* display_ = nullptr;
  void* context_ = nullptr;
  size_t slot_ = 0;
  std::string renderer_;
};

}  // namespace drover::robot
