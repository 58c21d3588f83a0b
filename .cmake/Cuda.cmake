# Cuda: optional CUDA kernels.
#
# DROVER_CUDA (ON): build them when nvcc is there. nvcc is looked for in CUDACXX, CUDA_HOME, PATH and /usr/local/cuda.
# It compiles the .cu files by a command of their own: CMake's CUDA language is not enabled, so the other targets, their
# flags and sanitizers stay as they are without it.
#
# drover_cuda_object(<out variable> <file.cu>): the object file's path.
#
# The runtime (cudart) is linked statically and libcuda never: a program starts without a driver.
option(DROVER_CUDA "Build the CUDA kernels when nvcc is found" ON)
set(DROVER_CUDA_ARCHITECTURES "80;90" CACHE STRING "Compute capabilities to compile for; the last also as PTX for newer ones")

set(DROVER_HAVE_CUDA OFF)
if(DROVER_CUDA)
  if(DEFINED ENV{CUDACXX} AND NOT DROVER_NVCC)
    set(DROVER_NVCC "$ENV{CUDACXX}" CACHE FILEPATH "CUDA compiler")
  endif()
  find_program(DROVER_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin PATHS /usr/local/cuda/bin)
  if(DROVER_NVCC)
    # nvcc may be a link into the toolkit's folder.
    get_filename_component(_cuda_bin "${DROVER_NVCC}" REALPATH)
    get_filename_component(_cuda_bin "${_cuda_bin}" DIRECTORY)
    get_filename_component(_cuda_home "${_cuda_bin}" DIRECTORY)
    find_path(DROVER_CUDA_INCLUDE cuda_runtime_api.h HINTS "${_cuda_home}/include" "${_cuda_home}/targets/x86_64-linux/include")
    find_library(DROVER_CUDART_STATIC cudart_static
      HINTS "${_cuda_home}/lib64" "${_cuda_home}/lib" "${_cuda_home}/targets/x86_64-linux/lib")
    if(DROVER_CUDA_INCLUDE AND DROVER_CUDART_STATIC)
      set(DROVER_HAVE_CUDA ON)
      message(STATUS "CUDA kernels: ${DROVER_NVCC}, compute capabilities ${DROVER_CUDA_ARCHITECTURES}")
    endif()
  endif()
  if(NOT DROVER_HAVE_CUDA)
    message(STATUS "CUDA kernels: not built, no CUDA toolkit found")
  endif()
endif()

function(drover_cuda_object out source)
  set(targets "")
  foreach(arch IN LISTS DROVER_CUDA_ARCHITECTURES)
    list(APPEND targets -gencode "arch=compute_${arch},code=sm_${arch}")
    set(newest "${arch}")
  endforeach()
  list(APPEND targets -gencode "arch=compute_${newest},code=compute_${newest}")
  get_filename_component(path "${source}" ABSOLUTE)
  get_filename_component(name "${source}" NAME_WE)
  set(object "${CMAKE_CURRENT_BINARY_DIR}/${name}.cu.o")
  add_custom_command(OUTPUT "${object}"
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} "${DROVER_NVCC}" -std=c++20 -O3 --expt-relaxed-constexpr ${targets}
      -ccbin "${CMAKE_CXX_COMPILER}" -Xcompiler -fPIC "-I${CMAKE_SOURCE_DIR}" -MD -MF "${object}.d" -MT "${object}"
      -c "${path}" -o "${object}"
    DEPENDS "${path}"
    DEPFILE "${object}.d"
    COMMENT "Building CUDA object ${name}.cu"
    VERBATIM)
  set(${out} "${object}" PARENT_SCOPE)
endfunction()
