# Finds LLVM's OpenMP runtime, which generated code calls, and defines Libomp::Libomp.
#
# CMake's FindOpenMP won't do: with g++ it finds libgomp, and a program must not hold two OpenMP runtimes (each
# would start a team of its own on the same cores). libomp also serves code that g++ compiled with -fopenmp, so
# an application with its own parallel loops compiles with -fopenmp and links Libomp::Libomp alone.
#
#   Libomp_ROOT or LLVM_DIR   where to look first
#   Libomp_LIBRARY            the library itself

set(version ${Libomp_FIND_VERSION_MAJOR})
if(NOT version)
  set(version 19)
endif()
if(LLVM_LIBRARY_DIRS)
  set(hints ${LLVM_LIBRARY_DIRS})
endif()
find_library(Libomp_LIBRARY NAMES omp HINTS ${hints} PATHS /usr/lib/llvm-${version}/lib)
mark_as_advanced(Libomp_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libomp REQUIRED_VARS Libomp_LIBRARY
  REASON_FAILURE_MESSAGE "Debian's package is libomp-${version}-dev. Elsewhere, set Libomp_LIBRARY.")

if(Libomp_FOUND AND NOT TARGET Libomp::Libomp)
  add_library(Libomp::Libomp UNKNOWN IMPORTED)
  set_target_properties(Libomp::Libomp PROPERTIES IMPORTED_LOCATION ${Libomp_LIBRARY})
endif()
