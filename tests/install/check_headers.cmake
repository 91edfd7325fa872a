# A user's program needs no LLVM header and compiles in at most 3 s. Processor time is measured, so that other work
# on the machine doesn't count.
set(flags -std=c++20 -I${PREFIX}/include)
execute_process(COMMAND ${COMPILER} ${flags} -M ${SOURCE} OUTPUT_VARIABLE headers COMMAND_ERROR_IS_FATAL ANY)
if(NOT headers MATCHES "kiln/kiln\\.h")
  message(FATAL_ERROR "${SOURCE} does not include <kiln/kiln.h>")
endif()
foreach(name "llvm/" "fmt/" "nlohmann/" "/omp\\.h")
  if(headers MATCHES "[^ ]*${name}[^ ]*")
    message(FATAL_ERROR "a program that includes <kiln/kiln.h> reads ${CMAKE_MATCH_0}")
  endif()
endforeach()
execute_process(COMMAND bash -c "TIMEFORMAT=%U; time \"$@\"" time ${COMPILER} ${flags} -c -o /dev/null ${SOURCE}
                ERROR_VARIABLE seconds COMMAND_ERROR_IS_FATAL ANY)
string(STRIP "${seconds}" seconds)
message(STATUS "compiled in ${seconds} s of processor time")
if(seconds GREATER 3)
  message(FATAL_ERROR "${SOURCE} takes ${seconds} s to compile; 3 s are allowed")
endif()
