#include "actors/robot/offscreen_gl.hpp"

#include <dlfcn.h>

#include <array>
#include <mutex>
#include <string_view>

#ifdef __SANITIZE_THREAD__
// Mesa orders its threads by futexes of its own, which the sanitizer cannot see; LLVM takes its locks in two orders.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:swrast_dri.so\nrace:libgallium\ndeadlock:libLLVM\n";
}
#endif

namespace drover::robot {
namespace {

constexpr const char* where = "render/egl";
constexpr const char* advice = "off-screen pictures need libEGL.so.1 and a driver (Debian: libegl1, libgl1-mesa-dri): ";

// The little of EGL 1.5 that is used here, so that no graphics headers are needed to build.
using Handle = void*;
using Int = int;
using Bool = unsigned;
constexpr unsigned platform_surfaceless = 0x31DD, platform_device = 0x313F, opengl_api = 0x30A2;
constexpr unsigned gl_renderer = 0x1F01, gl_version = 0x1F02, gl_extensions = 0x1F03;
// red, green, blue, depth: at least 8, 8, 8, 24 bits; pbuffers; OpenGL; end
constexpr std::array<Int, 13> config_wanted = {0x3024, 8,      0x3023, 8,      0x3022, 8,     0x3025,
                                               24,     0x3033, 0x0001, 0x3040, 0x0008, 0x3038};

struct Egl {
  std::string problem;  // not empty: nothing else is valid
  Handle (*get_proc)(const char*) = nullptr;
  Handle (*get_display)(unsigned, Handle, const intptr_t*) = nullptr;
  Bool (*initialize)(Handle, Int*, Int*) = nullptr;
  Bool (*choose_config)(Handle, const Int*, Handle*, Int, Int*) = nullptr;
  Bool (*bind_api)(unsigned) = nullptr;
  Handle (*create_context)(Handle, Handle, Handle, const Int*) = nullptr;
  Bool (*destroy_context)(Handle, Handle) = nullptr;
  Bool (*make_current)(Handle, Handle, Handle, Handle) = nullptr;

  std::mutex mutex;  // over what follows
  std::array<Handle, 2> displays{};
  std::array<size_t, 2> used{};
};

template <class Function>
bool find(Handle library, const char* name, Function& out) {
  out = reinterpret_cast<Function>(dlsym(library, name));
  return out != nullptr;
}

Handle first_device(const Egl& egl) {
  const auto query = reinterpret_cast<Bool (*)(Int, Handle*, Int*)>(egl.get_proc("eglQueryDevicesEXT"));
  std::array<Handle, 1> devices{};
  Int count = 0;
  if (query == nullptr || query(1, devices.data(), &count) == 0 || count < 1) return nullptr;
  return devices[0];
}

Handle open_display(const Egl& egl, unsigned platform, Handle native) {
  const Handle display = egl.get_display(platform, native, nullptr);
  Int major = 0, minor = 0;
  if (display == nullptr || egl.initialize(display, &major, &minor) == 0) return nullptr;
  return display;
}

void load(Egl& egl) {
  const Handle library = dlopen("libEGL.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    egl.problem = std::string(advice) + dlerror();
    return;
  }
  const bool all =
      find(library, "eglGetProcAddress", egl.get_proc) && find(library, "eglGetPlatformDisplay", egl.get_display) &&
      find(library, "eglInitialize", egl.initialize) && find(library, "eglChooseConfig", egl.choose_config) &&
      find(library, "eglBindAPI", egl.bind_api) && find(library, "eglCreateContext", egl.create_context) &&
      find(library, "eglDestroyContext", egl.destroy_context) && find(library, "eglMakeCurrent", egl.make_current);
  if (!all) {
    egl.problem = std::string(advice) + "this libEGL.so.1 is older than EGL 1.5";
    return;
  }
  size_t count = 0;
  if (const Handle display = open_display(egl, platform_surfaceless, nullptr)) egl.displays[count++] = display;
  if (const Handle device = first_device(egl))
    if (const Handle display = open_display(egl, platform_device, device)) egl.displays[count++] = display;
  if (count == 0) egl.problem = std::string(advice) + "no driver opens a display without a screen";
}

Egl& egl_once() {
  static Egl* const egl = [] {  // lives until the process ends: contexts may be destroyed late
    auto* made = new Egl;
    load(*made);
    return made;
  }();
  return *egl;
}

}  // namespace

Result<std::unique_ptr<OffscreenGl>> OffscreenGl::make() {
  Egl& egl = egl_once();
  if (!egl.problem.empty()) return fail(Errc::unavailable, where, egl.problem);
  std::unique_ptr<OffscreenGl> gl(new OffscreenGl);
  {
    std::lock_guard lock(egl.mutex);
    gl->slot_ = egl.displays[1] != nullptr && egl.used[1] < egl.used[0] ? 1 : 0;
    gl->display_ = egl.displays[gl->slot_];
    Handle config = nullptr;
    Int count = 0;
    if (egl.choose_config(gl->display_, config_wanted.data(), &config, 1, &count) == 0 || count < 1)
      return fail(Errc::unavailable, where, std::string(advice) + "the driver has no RGB buffer with depth for OpenGL");
    if (egl.bind_api(opengl_api) == 0)
      return fail(Errc::unavailable, where, std::string(advice) + "the driver has no desktop OpenGL");
    gl->context_ = egl.create_context(gl->display_, config, nullptr, nullptr);
    if (gl->context_ == nullptr)
      return fail(Errc::unavailable, where, std::string(advice) + "the driver makes no OpenGL context");
    ++egl.used[gl->slot_];
  }
  DROVER_TRY(gl->check_abilities());
  return gl;
}

// MuJoCo ends the process when these are missing, so they are looked at first.
Status OffscreenGl::check_abilities() {
  DROVER_TRY(bind());
  const auto get_string = reinterpret_cast<const char* (*)(unsigned)>(egl_once().get_proc("glGetString"));
  const auto text = [&](unsigned name) -> std::string_view {
    const char* value = get_string == nullptr ? nullptr : get_string(name);
    return value == nullptr ? "" : value;
  };
  renderer_ = text(gl_renderer);
  const bool fit = !text(gl_version).empty() &&
                   text(gl_extensions).find("GL_ARB_framebuffer_object") != std::string_view::npos &&
                   text(gl_extensions).find("GL_ARB_vertex_buffer_object") != std::string_view::npos;
  release();
  if (!fit)
    return fail(Errc::unavailable, where,
                advice + std::string("OpenGL of '") + renderer_ + "' lacks framebuffer objects");
  return {};
}

OffscreenGl::~OffscreenGl() {
  if (context_ == nullptr) return;
  Egl& egl = egl_once();
  std::lock_guard lock(egl.mutex);
  egl.destroy_context(display_, context_);
  --egl.used[slot_];
}

Status OffscreenGl::bind() {
  Egl& egl = egl_once();
  if (egl.bind_api(opengl_api) == 0 || egl.make_current(display_, nullptr, nullptr, context_) == 0)
    return fail(Errc::unavailable, where, "the driver does not make the context current");
  return {};
}

void OffscreenGl::release() {
  egl_once().make_current(display_, nullptr, nullptr, nullptr);
}

}  // namespace drover::robot
