// The real device, through the CUDA runtime (linked statically; libcuda is loaded by it when there is one).
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include "kernels/cuda/driver.hpp"

namespace drover::kernels::cuda {
namespace {

Status check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return {};
  const Errc code = error == cudaErrorMemoryAllocation ? Errc::too_large : Errc::unavailable;
  return fail(code, std::string("cuda.") + what, cudaGetErrorString(error));
}

Status check(const char* error, const char* what) {
  if (error == nullptr) return {};
  return fail(Errc::unavailable, std::string("cuda.") + what, error);
}

class Graph : public Driver::Recording {
 public:
  explicit Graph(cudaGraphExec_t exec) : exec_(exec) {}
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() override {
    if (exec_ != nullptr) cudaGraphExecDestroy(exec_);
  }
  cudaGraphExec_t exec() const { return exec_; }  // null: recording did not work, run directly

 private:
  cudaGraphExec_t exec_;
};

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  Status record(cudaStream_t stream) {
    DROVER_TRY(check(cudaEventCreate(&event_), "event"));
    return check(cudaEventRecord(event_, stream), "event");
  }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class CudaDriver : public Driver {
 public:
  CudaDriver(DeviceInfo info, cudaStream_t stream) : info_(std::move(info)), stream_(stream) {}
  CudaDriver(const CudaDriver&) = delete;
  CudaDriver& operator=(const CudaDriver&) = delete;
  ~CudaDriver() override { cudaStreamDestroy(stream_); }

  const DeviceInfo& info() const noexcept override { return info_; }
  void* stream() const noexcept override { return stream_; }

  Result<void*> allocate(size_t bytes) override {
    void* p = nullptr;
    DROVER_TRY(check(cudaMalloc(&p, bytes), "allocate"));
    if (const Status zeroed = check(cudaMemset(p, 0, bytes), "allocate"); !zeroed) {
      cudaFree(p);
      return tl::unexpected(zeroed.error());
    }
    // cudaMemset may return early and runs on another stream than the kernels.
    if (const Status done = check(cudaStreamSynchronize(nullptr), "allocate"); !done) {
      cudaFree(p);
      return tl::unexpected(done.error());
    }
    return p;
  }
  void release(void* p) noexcept override { cudaFree(p); }
  Result<void*> allocate_pinned(size_t bytes) override {
    void* p = nullptr;
    DROVER_TRY(check(cudaMallocHost(&p, bytes), "allocate_pinned"));
    return p;
  }
  void release_pinned(void* p) noexcept override { cudaFreeHost(p); }

  Status to_device(void* to, const void* from, size_t bytes, void* stream) override {
    return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, on(stream)), "to_device");
  }
  Status to_host(void* to, const void* from, size_t bytes, void* stream) override {
    return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, on(stream)), "to_host");
  }
  Status copy(void* to, const void* from, size_t bytes, void* stream) override {
    return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, on(stream)), "copy");
  }
  Status wait(void* stream) override { return check(cudaStreamSynchronize(on(stream)), "wait"); }

  Status start(const VitArgs& args, Element element, void* stream) override {
    return check(launch_vit(args, element, on(stream)), "vit");
  }
  Status start(const MlpArgs& args, Element element, uint32_t blocks, void* stream) override {
    return check(launch_mlp(args, element, blocks, on(stream)), "mlp");
  }
  Status start(const PoolArgs& args, float* out, void* stream) override {
    return check(launch_pool(args, out, on(stream)), "pool");
  }

  Status replay(std::unique_ptr<Recording>& recording, Work& work) override {
    if (recording == nullptr) {
      DROVER_TRY(work.enqueue(stream_));  // once directly: errors of the work itself are reported as such
      DROVER_TRY(wait(stream_));
      recording = record(work);
      return {};
    }
    const auto& graph = static_cast<const Graph&>(*recording);
    if (graph.exec() == nullptr) return work.enqueue(stream_);
    return check(cudaGraphLaunch(graph.exec(), stream_), "replay");
  }

  Result<double> timed(Work& work, uint32_t times) override {
    Event begin, end;
    DROVER_TRY(begin.record(stream_));
    for (uint32_t i = 0; i < times; ++i) DROVER_TRY(work.enqueue(stream_));
    DROVER_TRY(end.record(stream_));
    DROVER_TRY(wait(stream_));
    float milliseconds = 0;
    DROVER_TRY(check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "timed"));
    return double{milliseconds} * 1e-3 / times;
  }

 private:
  cudaStream_t on(void* stream) const { return stream == nullptr ? stream_ : static_cast<cudaStream_t>(stream); }

  std::unique_ptr<Graph> record(Work& work) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    if (cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal) == cudaSuccess) {
      const bool enqueued = work.enqueue(stream_).has_value();
      const bool captured = cudaStreamEndCapture(stream_, &graph) == cudaSuccess && graph != nullptr;
      if (!enqueued || !captured || cudaGraphInstantiate(&exec, graph, 0) != cudaSuccess) exec = nullptr;
      if (graph != nullptr) cudaGraphDestroy(graph);
    }
    cudaGetLastError();  // a refused recording is no error: the work runs directly then
    return std::make_unique<Graph>(exec);
  }

  DeviceInfo info_;
  cudaStream_t stream_;
};

bool driver_library_present() {
  void* library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return false;
  dlclose(library);
  return true;
}

}  // namespace

Result<std::shared_ptr<Driver>> open_device() {
  if (!driver_library_present()) return fail(Errc::unavailable, "cuda", "no CUDA driver");
  int devices = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&devices); error != cudaSuccess) {
    return fail(Errc::unavailable, "cuda", cudaGetErrorString(error));
  }
  if (devices == 0) return fail(Errc::unavailable, "cuda", "no CUDA device");
  cudaDeviceProp properties{};
  DROVER_TRY(check(cudaGetDeviceProperties(&properties, 0), "device"));
  DeviceInfo info{properties.name, static_cast<uint32_t>(properties.multiProcessorCount),
                  properties.sharedMemPerBlockOptin, properties.totalGlobalMem};
  if (properties.major < 8) {
    return fail(Errc::unavailable, "cuda", info.name + " is older than compute capability 8.0");
  }
  cudaStream_t stream = nullptr;
  DROVER_TRY(check(cudaSetDevice(0), "device"));
  DROVER_TRY(check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream"));
  return std::shared_ptr<Driver>(std::make_shared<CudaDriver>(std::move(info), stream));
}

}  // namespace drover::kernels::cuda
