// Block: one kernel body for a GPU and a CPU. Internal to kernels/.
//
// A body is written for one thread block in steps: each(), each_warp() and lanes() say over what a step runs, sync()
// ends it. nvcc makes device code of it; any other compiler makes plain loops, one block at a time, with the tensor
// core instructions computed lane by lane from their documented register layouts. So the index arithmetic that a GPU
// runs is tested on machines without one; races and speed are not.
//
// Rules for bodies:
// - A value that lives over lanes() sits in a PerLane; what other threads read sits in memory, with sync() between.
// - each_warp() runs its function with a whole warp: warp-wide operations belong there, outside of lanes().
// - Loops over register arrays have constant bounds and are unrolled, or the arrays leave the registers.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define DROVER_DEV __device__ __forceinline__
#define DROVER_UNROLL _Pragma("unroll")
#else
#define DROVER_DEV inline
#define DROVER_UNROLL
#endif

namespace drover::kernels::cuda {

constexpr uint32_t warp_lanes = 32;

// The 16 high bits of a float.
struct Bf16 {
  uint16_t bits;
};

struct alignas(16) Quad {
  uint32_t word[4];
};
struct alignas(16) Four {
  float value[4];
};

// ---- threads --------------------------------------------------------------------------------------------------------

class Block {
 public:
#if defined(__CUDACC__)
  DROVER_DEV uint32_t warps() const {
    return blockDim.x / warp_lanes;
  }
  template <class F>
  DROVER_DEV void each(uint32_t n, F f) const {
    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) f(i);
  }
  template <class F>
  DROVER_DEV void each_warp(uint32_t n, F f) const {
    for (uint32_t i = threadIdx.x / warp_lanes; i < n; i += blockDim.x / warp_lanes) f(i);
  }
  DROVER_DEV void sync() const {
    __syncthreads();
  }
#else
  explicit Block(uint32_t warps) : warps_(warps) {}
  uint32_t warps() const {
    return warps_;
  }
  // Backwards, so that nothing comes to depend on the order.
  template <class F>
  void each(uint32_t n, F f) const {
    for (uint32_t i = n; i-- > 0;) f(i);
  }
  template <class F>
  void each_warp(uint32_t n, F f) const {
    for (uint32_t i = n; i-- > 0;) f(i);
  }
  void sync() const {}

 private:
  uint32_t warps_;
#endif
};

template <class F>
DROVER_DEV void lanes(F f) {
#if defined(__CUDACC__)
  f(threadIdx.x % warp_lanes);
#else
  for (uint32_t lane = 0; lane < warp_lanes; ++lane) f(lane);
#endif
}

// N registers of each lane of a warp.
template <class T, int N>
struct PerLane {
#if defined(__CUDACC__)
  T value[N];
  DROVER_DEV T* at(uint32_t) {
    return value;
  }
  DROVER_DEV const T* at(uint32_t) const {
    return value;
  }
#else
  T value[warp_lanes][N];
  T* at(uint32_t lane) {
    return value[lane];
  }
  const T* at(uint32_t lane) const {
    return value[lane];
  }
#endif
  DROVER_DEV void fill(T x) {
    lanes([&](uint32_t lane) {
      DROVER_UNROLL
      for (int i = 0; i < N; ++i) at(lane)[i] = x;
    });
  }
};

// x[i] of every lane becomes op(own, that of lane ^ mask). `op` must be commutative, then all lanes agree to the bit.
template <int N, class Op>
DROVER_DEV void exchange(PerLane<float, N>& x, int i, uint32_t mask, Op op) {
#if defined(__CUDACC__)
  x.value[i] = op(x.value[i], __shfl_xor_sync(0xffffffffu, x.value[i], static_cast<int>(mask)));
#else
  float old[warp_lanes];
  for (uint32_t lane = 0; lane < warp_lanes; ++lane) old[lane] = x.value[lane][i];
  for (uint32_t lane = 0; lane < warp_lanes; ++lane) x.value[lane][i] = op(old[lane], old[lane ^ mask]);
#endif
}

// x[i] of lane `from`, in every lane of `out`.
template <int N>
DROVER_DEV void broadcast(const PerLane<float, N>& x, int i, uint32_t from, PerLane<float, 1>& out) {
#if defined(__CUDACC__)
  out.value[0] = __shfl_sync(0xffffffffu, x.value[i], static_cast<int>(from));
#else
  for (uint32_t lane = 0; lane < warp_lanes; ++lane) out.value[lane][0] = x.value[from][i];
#endif
}

struct Add {
  DROVER_DEV float operator()(float a, float b) const { return a + b; }
};
struct Max {
  DROVER_DEV float operator()(float a, float b) const { return fmaxf(a, b); }
};

template <int N, class Op>
DROVER_DEV void reduce_warp(PerLane<float, N>& x, int i, Op op) {
  DROVER_UNROLL
  for (uint32_t mask = 16; mask > 0; mask /= 2) exchange(x, i, mask, op);
}

// Over the four lanes that share a row of a tensor core accumulator.
template <int N, class Op>
DROVER_DEV void reduce_quad(PerLane<float, N>& x, int i, Op op) {
  exchange(x, i, 1, op);
  exchange(x, i, 2, op);
}

// ---- memory ---------------------------------------------------------------------------------------------------------

// Never written while the kernel runs.
template <class T>
DROVER_DEV T load_constant(const T* p) {
#if defined(__CUDACC__)
  return __ldg(p);
#else
  return *p;
#endif
}
DROVER_DEV Quad load_constant(const Quad* p) {
#if defined(__CUDACC__)
  const uint4 q = __ldg(reinterpret_cast<const uint4*>(p));
  return Quad{{q.x, q.y, q.z, q.w}};
#else
  return *p;
#endif
}

// Four words into registers.
DROVER_DEV void load_words(const Quad* p, uint32_t* out) {
  const Quad q = load_constant(p);
  DROVER_UNROLL
  for (int i = 0; i < 4; ++i) out[i] = q.word[i];
}

// Perhaps written by another block of this kernel: the first-level cache is passed by.
template <class T>
DROVER_DEV T load_shared_by_blocks(const T* p) {
#if defined(__CUDACC__)
  return __ldcg(p);
#else
  return *p;
#endif
}

// ---- bf16 -----------------------------------------------------------------------------------------------------------

// Two floats to two bf16, nearest even, `low` in the low half.
DROVER_DEV uint32_t pack_bf16(float low, float high) {
#if defined(__CUDACC__)
  uint32_t out;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
#else
  const auto one = [](float x) {
    uint32_t u;
    std::memcpy(&u, &x, sizeof u);
    if (!(x == x)) return 0x7fffu;
    return (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  };
  return one(low) | (one(high) << 16);
#endif
}

DROVER_DEV float bf16_bits_to_float(uint32_t bits) {
  bits <<= 16;
#if defined(__CUDACC__)
  return __uint_as_float(bits);
#else
  float out;
  std::memcpy(&out, &bits, sizeof out);
  return out;
#endif
}

// N values to p[0..N-1]; two bf16 are one store, p then lies at an even index.
template <int N>
DROVER_DEV void store(float* p, const float (&v)[N]) {
  DROVER_UNROLL
  for (int i = 0; i < N; ++i) p[i] = v[i];
}
DROVER_DEV void store(Bf16* p, const float (&v)[1]) {
  p->bits = static_cast<uint16_t>(pack_bf16(v[0], 0.0f) & 0xffffu);
}
DROVER_DEV void store(Bf16* p, const float (&v)[2]) {
  *reinterpret_cast<uint32_t*>(p) = pack_bf16(v[0], v[1]);
}

// ---- tensor cores ---------------------------------------------------------------------------------------------------

// Registers of mma.m16n8k16 with bf16 inputs, g = lane / 4, t = lane % 4 (PTX ISA, "Matrix Fragments for m16n8k16"):
//   A 16 x 16  a0 (g, 2t) a1 (g + 8, 2t) a2 (g, 2t + 8) a3 (g + 8, 2t + 8), each with the column after it
//   B 16 x 8   b0 (2t, g) b1 (2t + 8, g), each with the row after it
//   C 16 x 8   c0 (g, 2t) c1 (g, 2t + 1) c2 (g + 8, 2t) c3 (g + 8, 2t + 1)
// c[at_c..+3] += a[0..3] b[at_b..+1]
template <int C, int B>
DROVER_DEV void mma(PerLane<float, C>& c, int at_c, const PerLane<uint32_t, 4>& a, const PerLane<uint32_t, B>& b,
                    int at_b) {
#if defined(__CUDACC__)
  float* d = c.value + at_c;
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.value[0]), "r"(a.value[1]), "r"(a.value[2]), "r"(a.value[3]), "r"(b.value[at_b]), "r"(b.value[at_b + 1]));
#else
  float am[16][16], bm[16][8];
  for (uint32_t lane = 0; lane < warp_lanes; ++lane) {
    const uint32_t g = lane / 4, t = lane % 4;
    for (uint32_t half = 0; half < 2; ++half) {
      const uint32_t shift = 16 * half;
      am[g][2 * t + half] = bf16_bits_to_float(a.value[lane][0] >> shift & 0xffffu);
      am[g + 8][2 * t + half] = bf16_bits_to_float(a.value[lane][1] >> shift & 0xffffu);
      am[g][2 * t + 8 + half] = bf16_bits_to_float(a.value[lane][2] >> shift & 0xffffu);
      am[g + 8][2 * t + 8 + half] = bf16_bits_to_float(a.value[lane][3] >> shift & 0xffffu);
      bm[2 * t + half][g] = bf16_bits_to_float(b.value[lane][at_b] >> shift & 0xffffu);
      bm[2 * t + 8 + half][g] = bf16_bits_to_float(b.value[lane][at_b + 1] >> shift & 0xffffu);
    }
  }
  for (uint32_t lane = 0; lane < warp_lanes; ++lane) {
    const uint32_t g = lane / 4, t = lane % 4;
    for (uint32_t i = 0; i < 4; ++i) {
      float& sum = c.value[lane][static_cast<uint32_t>(at_c) + i];
      for (uint32_t k = 0; k < 16; ++k) sum += am[g + i / 2 * 8][k] * bm[k][2 * t + i % 2];
    }
  }
#endif
}

// The A registers of the 16 x 16 values at `a` (rows `stride` apart, stride % 8 == 0, a at a multiple of 16 bytes).
// Shared memory is read by ldmatrix, which takes the address of one row of eight from each lane.
template <bool Shared>
DROVER_DEV void load_a(const Bf16* a, uint32_t stride, PerLane<uint32_t, 4>& out) {
  if constexpr (Shared) {
#if defined(__CUDACC__)
    const uint32_t lane = threadIdx.x % warp_lanes;
    const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(a + lane % 16 * stride + lane / 16 * 8));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out.value[0]), "=r"(out.value[1]), "=r"(out.value[2]), "=r"(out.value[3])
                 : "r"(address)
                 : "memory");
#else
    const Bf16* address[warp_lanes];
    for (uint32_t lane = 0; lane < warp_lanes; ++lane) address[lane] = a + lane % 16 * stride + lane / 16 * 8;
    for (uint32_t lane = 0; lane < warp_lanes; ++lane) {
      for (uint32_t m = 0; m < 4; ++m) {
        std::memcpy(&out.value[lane][m], address[8 * m + lane / 4] + lane % 4 * 2, sizeof(uint32_t));
      }
    }
#endif
  } else {
    lanes([&](uint32_t lane) {
      const Bf16* p = a + lane / 4 * stride + lane % 4 * 2;
      const auto word = [](const Bf16* at) { return *reinterpret_cast<const uint32_t*>(at); };
      uint32_t* r = out.at(lane);
      r[0] = word(p);
      r[1] = word(p + 8 * stride);
      r[2] = word(p + 8);
      r[3] = word(p + 8 * stride + 8);
    });
  }
}

}  // namespace drover::kernels::cuda
