FROM bb
RUN echo a
